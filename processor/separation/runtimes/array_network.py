"""Defines a network that takes and gives arrays, which needs no torch."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class ArrayNetwork(Protocol):
    """Computes one network on the CPU."""

    @property
    def placement(self) -> tuple[str, ...]:
        """The place where the network runs, as ONNX providers or the runtime's name."""

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        """Return the answers for `inputs`, which lie in memory without gaps and have the batch first."""
