"""Makes inverse transforms on a GPU give the same samples as on a CPU.

The spectrum of real samples is real at 0 Hz and at half the sampling rate; a network's answer is not. A CPU's
inverse transform ignores the imaginary parts there. cuFFT adds them for some sizes and numbers of frames,
which puts an offset into each frame. (4096 samples in float32, 173 frames, CUDA 13.0: 36 dB from the CPU's
samples instead of 134 dB.) Networks of n_fft 4096, such as HTDemucs, get it in every stem.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from processor.separation.device import DeviceChoice


def make_ends_real(spectra: Tensor, bins: int = -1) -> None:
    """Set the imaginary parts of complex `spectra` to 0 at 0 Hz and half the sampling rate, in place."""
    spectra.imag.select(bins, 0).zero_()
    spectra.imag.select(bins, -1).zero_()


class RealEnds(TorchFunctionMode):
    """A context that gives every `torch.istft` of this thread a spectrum [..., bins, frames] with real ends.

    For an even `n_fft`, which all networks have: the last bin of an odd one is not half the sampling rate.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.istft:
            spectra, *others = args
            spectra = spectra.clone()
            make_ends_real(spectra, bins=-2)
            args = (spectra, *others)
        return func(*args, **(kwargs or {}))


def on(device: DeviceChoice) -> AbstractContextManager[object]:
    """Return the context for a network that calls `torch.istft` itself."""
    return RealEnds() if device.torch_device == "cuda" else nullcontext()
