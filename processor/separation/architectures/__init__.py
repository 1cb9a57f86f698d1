"""A file for each architecture of audio-separator's networks."""
