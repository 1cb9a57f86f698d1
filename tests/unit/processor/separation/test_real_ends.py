"""An inverse transform gets a spectrum with real ends, though a network's answer has none."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from processor.separation import device
from processor.separation.architectures import real_ends
from processor.separation.architectures.spectrum import Spectrum

N_FFT, HOP, FRAMES = 64, 16, 9
BINS = N_FFT // 2 + 1


@pytest.fixture
def spectra() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, BINS, FRAMES, dtype=torch.complex64)


class Seen(TorchFunctionMode):
    """Records the spectra that the inverse transforms in its context get."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[torch.Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.istft, torch.fft.irfft):
            self.given.append(args[0].clone())
        return func(*args, **(kwargs or {}))


def invert(spectra: torch.Tensor) -> torch.Tensor:
    return torch.istft(spectra, N_FFT, HOP, window=torch.hann_window(N_FFT))


@pytest.mark.parametrize("context", [real_ends.RealEnds, lambda: real_ends.on(device.CUDA)])
def test_a_networks_own_inverse_transform_gets_real_ends(spectra, context):
    before = spectra.clone()
    with Seen() as seen, context():
        samples = invert(spectra)
    (given,) = seen.given
    assert not given.imag[:, [0, -1]].any()
    assert torch.equal(given.real, before.real)
    assert torch.equal(given[:, 1:-1], before[:, 1:-1])
    assert torch.equal(spectra, before)  # it may be the network's still
    torch.testing.assert_close(samples, invert(before))


def test_on_a_cpu_which_leaves_them_out_nothing_is_copied(spectra):
    with Seen() as seen, real_ends.on(device.CPU):
        invert(spectra)
    assert torch.equal(seen.given[0], spectra)


def test_what_mdx_networks_answer_is_inverted_with_real_ends():
    spectrum = Spectrum(N_FFT, HOP, BINS, FRAMES, "cpu")
    torch.manual_seed(0)
    with Seen() as seen:
        spectrum.samples(torch.randn(1, 4, BINS, FRAMES))
    assert not seen.given[0].imag[..., [0, -1]].any()
    assert seen.given[0].imag[..., 1:-1].all()
