"""Puts a stand-in in place of the package `diffq`, whose licence (CC BY-NC 4.0) forbids commercial use.

The library imports three names of `diffq` at the top of its Demucs modules, and calls them for quantised
checkpoints only. The catalogue has no quantised model.
"""

import sys
from types import ModuleType
from typing import Any, NoReturn


class QuantizedCheckpoint(Exception):
    """The checkpoint needs the real `diffq`."""

    def __init__(self) -> None:
        super().__init__(
            "it is a quantised Demucs checkpoint, which only the package diffq can read, and its licence "
            "forbids commercial use; take the model's checkpoint that is not quantised"
        )


def install() -> None:
    """Make `import diffq` return this stand-in. Call this before importing the library's Demucs modules."""
    module = ModuleType("diffq", __doc__)
    vars(module).update(
        DiffQuantizer=_Quantizer, UniformQuantizer=_Quantizer, restore_quantized_state=_refuse
    )
    sys.modules["diffq"] = module


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise QuantizedCheckpoint


class _Quantizer:
    """Stands for both quantisers of the package, and cannot be created."""

    def __init__(self, *args: Any, **kwargs: Any):
        _refuse()
