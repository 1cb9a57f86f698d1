"""Packs a task's stems into one file, and counts uploads: all that the api reads in the bucket."""
