"""Inverse transforms on a GPU that give what they give on a CPU.

The spectrum of real samples is real at 0 Hz and at half the sampling rate; a network's answer is not. CPUs
leave the imaginary parts there out. cuFFT does so too, but for some sizes and numbers of frames it adds them
(4096 samples in float32, 173 frames, CUDA 13.0: 36 dB from the CPU's samples instead of 134): an offset in
each frame, which networks of n_fft 4096 have in every stem, HTDemucs among them.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from processor.separation.device import DeviceChoice


def make_ends_real(spectra: Tensor, bins: int = -1) -> None:
    """Changes `spectra`, complex, in place: axis `bins` goes from 0 Hz to half the sampling rate."""
    spectra.imag.select(bins, 0).zero_()
    spectra.imag.select(bins, -1).zero_()


class RealEnds(TorchFunctionMode):
    """Within it every `torch.istft` of this thread gets a spectrum [..., bins, frames] with real ends.

    Of an even `n_fft`, as all networks have it: an odd one's last bin is not half the sampling rate.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.istft:
            spectra, *others = args
            spectra = spectra.clone()
            make_ends_real(spectra, bins=-2)
            args = (spectra, *others)
        return func(*args, **(kwargs or {}))


def on(device: DeviceChoice) -> AbstractContextManager[object]:
    """The context in which a network runs that calls `torch.istft` itself."""
    return RealEnds() if device.torch_device == "cuda" else nullcontext()
