"""Times torch's own transforms, also where they are within a network."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch.overrides import TorchFunctionMode


class TorchTransforms(TorchFunctionMode):
    """A context in which `timing` of a stage is around each `torch.stft` and `torch.istft` of this thread."""

    def __init__(self, timing: Callable[[str], AbstractContextManager[None]], forward: str, inverse: str):
        super().__init__()
        self._timing = timing
        self._stages = {torch.stft: forward, torch.istft: inverse}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        stage = self._stages.get(func)
        if stage is None:
            return func(*args, **(kwargs or {}))
        with self._timing(stage):
            return func(*args, **(kwargs or {}))
