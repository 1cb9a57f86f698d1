"""Cuts the part of a song that its user asked for."""

from dataclasses import dataclass
from fractions import Fraction

from processor.audio.stereo import Block


@dataclass(frozen=True)
class Window:
    """The part of a song from `start_s` on, at most `duration_s` long; None: to the song's end.

    Both are in seconds, and are rounded to frames of the song's own rate.
    """

    start_s: float = 0.0
    duration_s: float | None = None

    @property
    def is_whole(self) -> bool:
        return not self.start_s and self.duration_s is None

    def length_s(self, song_s: Fraction | int) -> Fraction:
        """Return how much of a song of `song_s` seconds is inside."""
        length_s = max(Fraction(0), song_s - Fraction(self.start_s))
        return length_s if self.duration_s is None else min(length_s, Fraction(self.duration_s))

    def is_over(self, at_s: Fraction, rate: int) -> bool:
        """Tell whether a frame that begins at `at_s`, at `rate` in Hz, lies behind the window."""
        return self.duration_s is not None and at_s * rate >= self._end(rate)

    def cut(self, block: Block, at_s: Fraction) -> Block:
        """Return the frames of `block` that are inside; the block begins at `at_s` seconds."""
        if self.is_whole:
            return block
        position = round(at_s * block.rate)
        start = max(0, _round(Fraction(self.start_s) * block.rate) - position)
        stop = len(block.samples) if self.duration_s is None else max(0, self._end(block.rate) - position)
        strange = block.strange if start < stop and start < len(block.samples) else 0
        return Block(block.samples[start:stop], block.rate, strange)

    def _end(self, rate: int) -> int:
        assert self.duration_s is not None, "only a window with a length has an end"
        return _round((Fraction(self.start_s) + Fraction(self.duration_s)) * rate)


WHOLE_SONG = Window()


def _round(value: Fraction) -> int:
    """Round a positive number, a half upwards."""
    return int(value + Fraction(1, 2))
