"""Reads the heads of audio files, which FFmpeg reads wrongly, guesses at, or must not see."""
