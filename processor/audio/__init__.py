"""Turns a song's address into a prepared mix, and writes stems: download, decode, resample, encode."""
