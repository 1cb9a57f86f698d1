"""Chooses the one gain that all stems of a song get, so that they still add up.

- `none`: 1, or less where a stem would clip. Unwanted stems count too, so that a stem does not depend on
  which others its user wants.
- `peak`: the largest sample of the stems that the user gets is at -0.1 dB of full scale.
- `lufs:N`: the song, which the stems add up to, would be at N LUFS. No stem clips: where one would, the gain
  is lower.
"""

from collections.abc import Mapping

from processor.audio.stem_writer import MAX_LEVEL

# 0.1 dB below full scale: what a lossy encoder adds to a peak seldom clips.
PEAK_LEVEL = 10 ** (-0.1 / 20)
# +40 dB: a song that is all but silent does not become loud noise.
MOST_GAIN = 100.0


def at_peak(peaks: Mapping[str, float], wanted: tuple[str, ...]) -> float:
    """Return the gain of `peak`, given each stem's largest absolute sample."""
    return _limited(MOST_GAIN, max(peaks[name] for name in wanted), PEAK_LEVEL)


def at_loudness(peaks: Mapping[str, float], song_lufs: float | None, target_lufs: float) -> float:
    """Return the gain of `lufs:N`; a song whose loudness is None gets no gain above 1."""
    gain = 1.0 if song_lufs is None else 10 ** ((target_lufs - song_lufs) / 20)
    return _limited(min(gain, MOST_GAIN), max(peaks.values()), MAX_LEVEL)


def unclipped(peaks: Mapping[str, float]) -> float:
    """Return the gain of `none`."""
    return _limited(1.0, max(peaks.values()), MAX_LEVEL)


def _limited(gain: float, peak: float, most: float) -> float:
    """Return `gain`, or less where it would bring `peak` above `most`; 1 for silence."""
    return min(gain, most / peak) if peak > 0 else 1.0
