"""Tells whether a frame of FLAC is whole, by the checksum at its end."""

# CRC-16 with the polynomial x^16 + x^15 + x^2 + 1, from 0 (RFC 9639, section 9.3).
_POLYNOMIAL = 0x8005


def is_whole(frame: bytes) -> bool:
    """Tell whether `frame` is one whole frame and nothing more."""
    checksum = 0
    for byte in frame:
        checksum = (checksum << 8 & 0xFFFF) ^ _TABLE[checksum >> 8 ^ byte]
    return bool(frame) and checksum == 0  # a checksum over data and its own checksum is 0


def _remainder(byte: int) -> int:
    value = byte << 8
    for _ in range(8):
        value = (value << 1) ^ (_POLYNOMIAL if value & 0x8000 else 0)
    return value & 0xFFFF


_TABLE = [_remainder(byte) for byte in range(256)]
