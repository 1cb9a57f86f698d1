"""The spectra of MDX networks equal those of the library, both ways, with torch and without."""

import logging
import warnings
from collections.abc import Callable

import pytest
import torch

from processor.separation.architectures.array_spectrum import ArraySpectrum
from processor.separation.architectures.mdx_parameters import ZEROED_BINS
from processor.separation.architectures.spectrum import Spectrum

HOP = 1024
Way = Callable[[torch.Tensor], torch.Tensor]


def library_stft(n_fft: int, bins: int):
    from audio_separator.separator.uvr_lib_v5.stft import STFT

    return STFT(logging.getLogger(), n_fft, HOP, bins, "cpu")


def with_torch(*sizes: int) -> tuple[Way, Way]:
    spectrum = Spectrum(*sizes, "cpu")
    return spectrum.of, spectrum.samples


def without_torch(*sizes: int) -> tuple[Way, Way]:
    spectrum = ArraySpectrum(*sizes, ZEROED_BINS)
    return (
        lambda samples: torch.from_numpy(spectrum.of(samples.numpy())),
        lambda spectra: torch.from_numpy(spectrum.samples(spectra.numpy())),
    )


# Spleeter's and three of UVR's: windows of 4, 6 and 7.5 hops, with and without bins left out. The last has
# fewer frames than are transformed at once, and the one before a rest.
@pytest.mark.parametrize(
    ("n_fft", "bins", "frames"),
    [(4096, 2048, 128), (6144, 2560, 96), (6144, 3072, 96), (7680, 3072, 97), (6144, 2048, 9)],
)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("made", [with_torch, without_torch])
def test_both_ways_give_what_the_library_gives(made, n_fft: int, bins: int, frames: int, batch: int):
    generator = torch.Generator().manual_seed(0)
    samples = torch.rand(batch, 2, HOP * (frames - 1), generator=generator) * 2 - 1
    answer = torch.rand(batch, 4, bins, frames, generator=generator) * 2 - 1
    (of, back), library = made(n_fft, HOP, bins, frames), library_stft(n_fft, bins)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library asks torch for what it would rather not give
        expected = library(samples)
        expected[:, :, :3, :] *= 0
        if made is with_torch:
            assert torch.equal(of(samples), expected)
        else:
            assert (of(samples) - expected).abs().max() < 1e-6 * expected.abs().max()
        inverse = library.inverse(answer)
        assert back(answer).shape == inverse.shape
        assert (back(answer) - inverse).abs().max() < 1e-5 * inverse.abs().max()
