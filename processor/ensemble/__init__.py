"""Combines the stems that several models give of one song, in the library's ten ways, block by block."""
