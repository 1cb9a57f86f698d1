"""A stand-in for the package `diffq`, which is not installed.

Its licence (CC BY-NC 4.0) forbids commercial use. The library imports three names of it at the top of its
Demucs modules, and calls them for quantised checkpoints alone. No model of the catalogue is one.
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
    """Make `import diffq` give this stand-in. Call it before the library's Demucs modules are imported."""
    module = ModuleType("diffq", __doc__)
    vars(module).update(
        DiffQuantizer=_Quantizer, UniformQuantizer=_Quantizer, restore_quantized_state=_refuse
    )
    sys.modules["diffq"] = module


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise QuantizedCheckpoint


class _Quantizer:
    """Both quantisers of the package: neither can be made."""

    def __init__(self, *args: Any, **kwargs: Any):
        _refuse()
