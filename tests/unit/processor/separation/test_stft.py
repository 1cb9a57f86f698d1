"""The STFT gives what torch's own functions give, both ways."""

import pytest
import torch

from processor.separation.architectures.stft import Stft

# MDX23C's, a Roformer's, one with a shorter window, and Demucs's.
CASES = [
    (8192, 1024, 8192, False),
    (2048, 441, 2048, False),
    (2048, 512, 1200, False),
    (4096, 1024, 4096, True),
]


@pytest.mark.parametrize(("n_fft", "hop", "win_length", "normalized"), CASES)
@pytest.mark.parametrize("longer", [None, 0, 500])
def test_both_ways_give_what_torch_gives(n_fft, hop, win_length, normalized, longer):
    generator = torch.Generator().manual_seed(0)
    samples = torch.rand(3, 2, hop * 20, generator=generator) * 2 - 1
    options = {
        "n_fft": n_fft,
        "hop_length": hop,
        "win_length": win_length,
        "window": torch.hann_window(win_length),
        "normalized": normalized,
    }
    stft = Stft(n_fft, hop, "cpu", win_length, normalized)
    spectra = stft.spectra(samples)
    expected = torch.stft(samples.reshape(6, -1), **options, return_complex=True)
    assert torch.equal(spectra, expected.transpose(1, 2).reshape(3, 2, 21, -1))
    answer = torch.randn(spectra.shape, dtype=torch.complex64, generator=generator)
    length = None if longer is None else hop * 20 + longer
    expected = torch.istft(answer.reshape(6, 21, -1).transpose(1, 2), **options, length=length)
    back = stft.samples(answer, length)
    assert back.shape == (3, 2, expected.shape[1])
    assert (back.reshape(6, -1) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_songs_of_changing_lengths_get_their_own_windows():
    stft = Stft(2048, 512, "cpu")
    for frames in (10, 30, 10, 20):
        samples = torch.rand(1, 2, 512 * frames)
        assert (stft.samples(stft.spectra(samples)) - samples).abs().max() < 1e-5
