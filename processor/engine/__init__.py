"""Runs the warm process that separates songs: lends it to one job at a time and restarts it when it ends."""
