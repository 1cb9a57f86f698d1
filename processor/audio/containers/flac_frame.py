"""Tells whether a frame of FLAC is whole, by the checksum at its end."""

# CRC-16 with the polynomial x^16 + x^15 + x^2 + 1, from 0 (RFC 9639, section 9.3).
_POLYNOMIAL = 0x8005
_SYNC = b"\xff"
_ZEROS = 3


def is_whole(frame: bytes) -> bool:
    """Tell whether `frame` is one whole frame and nothing more."""
    # Zeros leave the checksum as it is. So many of them lie behind a frame, and hardly ever end one.
    if frame[:1] != _SYNC or not any(frame[-_ZEROS:]):
        return False
    checksum = 0
    for byte in frame:
        checksum = (checksum << 8 & 0xFFFF) ^ _TABLE[checksum >> 8 ^ byte]
    return checksum == 0  # a checksum over data and its own checksum is 0


def _remainder(byte: int) -> int:
    value = byte << 8
    for _ in range(8):
        value = (value << 1) ^ (_POLYNOMIAL if value & 0x8000 else 0)
    return value & 0xFFFF


_TABLE = [_remainder(byte) for byte in range(256)]
