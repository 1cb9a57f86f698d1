"""Turns float stems into the files that a user asked for: format, rate, depth, loudness and tags."""
