"""Loads and runs the networks of audio-separator's architectures, with a module for each."""
