"""Runs a network on several chunks at once, and on fewer where memory runs out."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from common.errors import ErrorCode, TransientError

Samples = npt.NDArray[np.float32]

_MARKS = (
    "bad_alloc",
    "allocate memory",
    "out of memory",
    "memoryallocation",
    "bad allocation",
    "alloc_failed",
    "can't start new thread",
)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether memory ran out, for onnxruntime and torch by the error's text."""
    text = f"{type(error).__name__}: {error}".lower()
    return isinstance(error, MemoryError) or any(mark in text for mark in _MARKS)


class Batches:
    """Runs at most `size` chunks at once, and half as many after memory has run out once."""

    def __init__(
        self, run: Callable[[Samples], Samples], size: int, release: Callable[[], None] = lambda: None
    ):
        """`run` takes chunks along its first axis; `release` returns cached memory to the device."""
        self.size = size
        self._run, self._release = run, release
        self._halved = False

    def __call__(self, chunks: Samples) -> Samples:
        """Return `run`'s answers for `chunks`, joined along the first axis.

        Raises TransientError (out_of_memory), and what `run` raises.
        """
        answers: list[Samples] = []
        done = 0
        while done < len(chunks):
            try:
                answers.append(self._run(chunks[done : done + self.size]))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error)
            else:
                done += len(answers[-1])
        return np.concatenate(answers)

    def _halve(self, error: Exception) -> None:
        self._release()
        if self.size == 1 or self._halved:
            message = f"out of memory with {self.size} chunks at once: {error}"
            raise TransientError(ErrorCode.OUT_OF_MEMORY, message) from error
        self.size = (self.size + 1) // 2
        self._halved = True
