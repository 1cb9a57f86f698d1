"""Converts between samples and the spectrograms of VR networks, which join bands of several sampling rates.

The library's `VRSeparator` does the same with librosa, whose first STFT takes seconds. The source of all this
is its `spec_utils`: `wave_to_spectrogram`, `combine_spectrograms` and `cmb_spectrogram_to_wave`.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from processor.audio.wav import SAMPLE_RATE
from processor.separation.architectures.array_stft import ArrayStft
from processor.separation.architectures.vr_parameters import VrParameters
from processor.separation.overlap_add import Samples

Spectrogram = npt.NDArray[np.complex64]  # [channel, bin, frame]
Band = Mapping[str, Any]
# A row for each channel: what it takes of the left and of the right one.
_Matrix = npt.NDArray[np.float32]

_TO_RATE, _BETWEEN_BANDS = "soxr_hq", "sinc_fastest"
_PLAIN = np.eye(2, dtype=np.float32)


class VrBands:
    """Converts between samples [2, n] at 44.1 kHz and the spectrogram of all bands of a network."""

    def __init__(self, parameters: VrParameters):
        self._parameters, self._layout = parameters, parameters.layout
        self._bands: list[Band] = [band for _, band in sorted(self._layout["band"].items())]
        self._stfts = [ArrayStft(band["n_fft"], band["hl"], silent_ends=True) for band in self._bands]
        self._reverses = not parameters.is_v51 and bool(self._layout.get("reverse"))

    @property
    def hop(self) -> Fraction:
        """The samples at 44.1 kHz from one frame to the next."""
        highest = self._bands[-1]
        return Fraction(highest["hl"] * SAMPLE_RATE, highest["sr"])

    def spectrogram(self, samples: Samples) -> Spectrogram:
        """Return the spectrogram of `samples`."""
        found: list[Spectrogram] = []
        rate, wave = SAMPLE_RATE, samples
        for band, stft in zip(reversed(self._bands), reversed(self._stfts), strict=True):
            wave = resampled(wave, rate, band["sr"], band["res_type"])
            rate = band["sr"]
            mixed = self._mixing(band) @ (wave[:, ::-1] if self._reverses else wave)
            found.insert(0, _spectra(stft, mixed))
        return self._joined(found)

    def _joined(self, found: list[Spectrogram]) -> Spectrogram:
        """Return the bands' own bins one above the other."""
        frames = min(spectra.shape[2] for spectra in found)
        whole = np.zeros((2, self._parameters.bins + 1, frames), np.complex64)
        offset = 0
        for band, spectra in zip(self._bands, found, strict=True):
            own = spectra[:, band["crop_start"] : band["crop_stop"], :frames]
            whole[:, offset : offset + own.shape[1]] = own
            offset += own.shape[1]
        start, stop = self._layout["pre_filter_start"], self._layout["pre_filter_stop"]
        if start > 0:
            gains = self._before_the_network(whole.shape[1], start, stop)
            whole *= gains[:, None]
        return whole

    def _before_the_network(self, bins: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        if self._parameters.is_v51 or len(self._bands) == 1:
            return self._low_pass(bins, start, stop)
        gains, last = np.ones(bins, np.float32), 1.0
        for number in range(start + 1, stop):
            last = math.pow(10, -(number - start) * (3.5 - last) / 20)
            gains[number] = last
        return gains

    def samples(self, spectrogram: Spectrogram) -> Samples:
        """Return the samples of a spectrogram; they end with the last whole frame."""
        wave: Samples | None = None
        offset = 0
        for number, (band, stft) in enumerate(zip(self._bands, self._stfts, strict=True)):
            height = band["crop_stop"] - band["crop_start"]
            gains = self._after_the_network(number, stft.bins)[band["crop_start"] : band["crop_stop"]]
            own = spectrogram[:, offset : offset + height] * gains[:, None]
            offset += height
            unmixing = np.linalg.inv(self._mixing(band)).astype(np.float32)
            unmixed = unmixing @ _samples(stft, own, band["crop_start"])
            part: Samples = unmixed[:, ::-1] if self._reverses else unmixed
            if wave is not None:
                part = part + resampled(wave, self._bands[number - 1]["sr"], band["sr"], _BETWEEN_BANDS)
            wave = part
        assert wave is not None  # a layout has at least one band
        return resampled(wave, self._parameters.rate_hz, SAMPLE_RATE, _TO_RATE)

    def _after_the_network(self, number: int, bins: int) -> npt.NDArray[np.float32]:
        """Return the gain of each bin of a band, which fades out where the next band begins."""
        band = self._bands[number]
        gains = np.ones(bins, np.float32)
        is_lowest, is_highest = number == 0, number == len(self._bands) - 1
        if (is_highest and band["hpf_start"] > 0) or (not is_highest and not is_lowest):
            gains *= self._high_pass(bins, band["hpf_start"], band["hpf_stop"] - 1)
        if not is_highest:
            gains *= self._low_pass(bins, band["lpf_start"], band["lpf_stop"])
        return gains

    def _low_pass(self, bins: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        gains = np.zeros(bins, np.float32)
        if self._parameters.is_v51:
            gains[: start - 1] = 1
            gains[start - 1 : stop] = np.linspace(1, 0, stop - start + 1)
        else:
            gains[:start] = 1
            gains[start:stop] = 1 - np.arange(1, stop - start + 1) / (stop - start)
        return gains

    def _high_pass(self, bins: int, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Return 0 up to `stop`, and 1 from about `start` on."""
        gains = np.ones(bins, np.float32)
        gains[: stop + 1] = 0
        if self._parameters.is_v51:
            gains[stop + 1 : start + 2] = np.linspace(0, 1, 1 + start - stop)
        else:
            gains[stop + 1 : start + 1] = 1 - np.arange(start - stop, 0, -1) / (start - stop)
        return gains

    def _mixing(self, band: Band) -> _Matrix:
        """Return what the network's channels of a band take of the left and the right one."""
        layout = self._layout
        if self._parameters.is_v51:
            name = band.get("convert_channels")
        else:
            names = ("reverse", "mid_side", "mid_side_b2")
            name = next((name for name in names if layout.get(name)), None)
        return _MIXINGS.get(name or "", _PLAIN)


# Of version 5 the first two, of version 5.1 the last three.
_MIXINGS: Mapping[str, _Matrix] = {
    "mid_side_b2": np.array([[0.5, 1], [1, -0.5]], np.float32),
    "mid_side": np.array([[0.5, 0.5], [1, -1]], np.float32),
    "mid_side_c": np.array([[1, 0.25], [-0.25, 1]], np.float32),
    "stereo_n": np.array([[1, 0.25], [0.25, 1]], np.float32) / np.float32(0.9375),
}


def resampled(samples: Samples, from_hz: int, to_hz: int, how: str) -> Samples:
    """Return samples [2, n] at another rate, as `librosa.resample` does."""
    if from_hz == to_hz:
        return samples
    if how.startswith("kaiser"):
        import librosa  # it takes long, and few layouts need it

        answer: Samples = librosa.resample(samples, orig_sr=from_hz, target_sr=to_hz, res_type=how)
        return answer
    length = math.ceil(samples.shape[1] * (to_hz / from_hz))
    found = np.zeros((len(samples), length), np.float32)
    for channel, target in zip(samples, found, strict=True):
        answer = _resampled(np.ascontiguousarray(channel), from_hz, to_hz, how)[:length]
        target[: len(answer)] = answer
    return found


def _resampled(channel: Samples, from_hz: int, to_hz: int, how: str) -> Samples:
    answer: Samples
    if how == "polyphase":
        from scipy.signal import resample_poly

        common = math.gcd(from_hz, to_hz)
        answer = resample_poly(channel, to_hz // common, from_hz // common)
    elif how.startswith("soxr"):
        import soxr

        answer = soxr.resample(channel, from_hz, to_hz, quality=how)
    else:
        import samplerate

        answer = samplerate.resample(channel, to_hz / from_hz, how)
    return answer


def _spectra(stft: ArrayStft, samples: Samples) -> Spectrogram:
    found = np.empty((2, stft.bins, stft.frames(samples.shape[1])), np.complex64)
    for number, channel in enumerate(samples):
        for some, spectra in stft.spectra(np.ascontiguousarray(channel, np.float32)):
            found[number, :, some] = spectra.T
    return found


def _samples(stft: ArrayStft, spectrogram: Spectrogram, first_bin: int) -> Samples:
    """Return the samples of a spectrogram whose first bin is `first_bin`; bins outside are 0."""
    frames = spectrogram.shape[2]

    def samples(channel: Spectrogram) -> Samples:
        def spectra(some: slice) -> Spectrogram:
            whole = np.zeros((some.stop - some.start, stft.bins), np.complex64)
            whole[:, first_bin : first_bin + len(channel)] = channel[:, some].T
            return whole

        return stft.samples(frames, spectra)

    return np.stack([samples(channel) for channel in spectrogram])
