"""Tells the sizes that programs leave in a header when they write into a pipe and cannot correct it."""

# The largest number, signed or not, some less the header; or a round number just below, as SoX's 0x7ffff000,
# some less a part of a sample frame.
_MARKS = (1 << 31, 1 << 32)
_SOX_AIFF_MARK = 0x7F000000
_NEAR_BYTES = 65_536


def is_piped(size: int) -> bool:
    """Tell whether a size of 32 bits stands for an unknown one; 0 is left to each format."""
    return any(abs(size - mark) <= _NEAR_BYTES for mark in _MARKS)


def is_piped_aiff(size: int) -> bool:
    """Tell the same of the size of AIFF's sound chunk, in which SoX leaves a number of its own."""
    return is_piped(size) or abs(size - _SOX_AIFF_MARK) <= _NEAR_BYTES
