"""Tells the sizes that programs leave in a header when they write into a pipe and cannot correct it."""

# The largest number, signed or not, some less the header; or a round number just below.
_MARKS = (1 << 31, 1 << 32)
_NEAR_BYTES = 4096


def is_piped(size: int) -> bool:
    """Tell whether a size of 32 bits stands for an unknown one; 0 is left to each format."""
    return any(abs(size - mark) <= _NEAR_BYTES for mark in _MARKS)
