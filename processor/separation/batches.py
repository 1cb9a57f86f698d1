"""Runs of a network on several chunks at once, and what happens when memory does not do."""

from collections.abc import Callable

import numpy as np

from common.errors import ErrorCode, TransientError

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
    """onnxruntime and torch tell of it in the text alone."""
    text = f"{type(error).__name__}: {error}".lower()
    return isinstance(error, MemoryError) or any(mark in text for mark in _MARKS)


class Batches:
    """Runs at most `size` chunks at once, and half as many from the first time on that memory did not do."""

    def __init__(
        self, run: Callable[[np.ndarray], np.ndarray], size: int, release: Callable[[], None] = lambda: None
    ):
        """`run` takes chunks along its first axis; `release` gives cached memory back."""
        self.size = size
        self._run, self._release = run, release
        self._halved = False

    def __call__(self, chunks: np.ndarray) -> np.ndarray:
        """Raises TransientError (out_of_memory), and what `run` raises."""
        answers: list[np.ndarray] = []
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
            message = f"out of memory with {self.size} at once: {error}"
            raise TransientError(ErrorCode.OUT_OF_MEMORY, message) from error
        self.size = (self.size + 1) // 2
        self._halved = True
