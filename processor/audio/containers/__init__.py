"""Reads the headers of audio files where FFmpeg reads them wrongly, guesses, or must not see the file."""
