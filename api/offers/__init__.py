"""Merges what the processors announce, and refuses submissions that ask for something else."""
