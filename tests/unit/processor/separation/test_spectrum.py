"""The spectra of MDX networks equal those of the library, both ways."""

import logging
import warnings

import pytest
import torch

from processor.separation.architectures.spectrum import Spectrum

HOP = 1024


def library_stft(n_fft: int, bins: int):
    from audio_separator.separator.uvr_lib_v5.stft import STFT

    return STFT(logging.getLogger(), n_fft, HOP, bins, "cpu")


# Spleeter's and three of UVR's: windows of 4, 6 and 7.5 hops, with and without bins left out.
@pytest.mark.parametrize(
    ("n_fft", "bins", "frames"), [(4096, 2048, 512), (6144, 2560, 256), (6144, 3072, 256), (7680, 3072, 256)]
)
@pytest.mark.parametrize("batch", [1, 2])
def test_both_ways_give_what_the_library_gives(n_fft: int, bins: int, frames: int, batch: int):
    generator = torch.Generator().manual_seed(0)
    samples = torch.rand(batch, 2, HOP * (frames - 1), generator=generator) * 2 - 1
    answer = torch.rand(batch, 4, bins, frames, generator=generator) * 2 - 1
    ours, library = Spectrum(n_fft, HOP, bins, frames, "cpu"), library_stft(n_fft, bins)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library asks torch for what it would rather not give
        expected = library(samples)
        expected[:, :, :3, :] *= 0
        assert torch.equal(ours.of(samples), expected)
        back = library.inverse(answer)
        assert ours.samples(answer).shape == back.shape
        assert (ours.samples(answer) - back).abs().max() < 1e-5 * back.abs().max()
