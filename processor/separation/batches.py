"""Runs a network on several chunks at once, and on fewer where memory runs out."""

import threading
from collections.abc import Callable
from typing import Protocol

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


class Runner(Protocol):
    """Runs a network on chunks: `Batches` and `GrowingBatches`."""

    @property
    def most(self) -> int:
        """The most chunks that a call is worth: more would run in turn."""

    def __call__(self, chunks: Samples) -> Samples:
        """Return the answers for `chunks`, joined along the first axis."""


class Memory(Protocol):
    """The memory that a network's runs take from."""

    def measured(self, run: Callable[[], Samples]) -> tuple[Samples, int]:
        """Return the answer of `run`, and the bytes that it took while it ran."""

    def budget_bytes(self) -> int:
        """Return how much a run may take from now on."""

    def release(self) -> None:
        """Return cached memory to the device."""


class Batches:
    """Runs at most `size` chunks at once, and half as many after memory has run out once."""

    def __init__(
        self, run: Callable[[Samples], Samples], size: int, release: Callable[[], None] = lambda: None
    ):
        """`run` takes chunks along its first axis; `release` returns cached memory to the device."""
        self.size = size
        self._run, self._release = run, release
        self._halved = False

    @property
    def most(self) -> int:
        return self.size

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
            raise _out_of_memory(self.size, error) from error
        self.size = (self.size + 1) // 2
        self._halved = True


class GrowingBatches:
    """Runs one chunk, then as many at once as memory allows, and half as many after memory has run out.

    That number is a power of two up to `most`. The chunks that do not fill it run one by one: for each number
    a GPU's libraries choose their kernels anew, and CUDA graphs are captured anew. Threads may share this.
    """

    def __init__(self, run: Callable[[Samples], Samples], memory: Memory, most: int):
        """`run` takes chunks along its first axis; `most` is a power of two."""
        self.most = most
        self._run, self._memory = run, memory
        self._first = threading.Lock()
        # What the first run took for each sample of its chunk, and what later runs may take, in bytes.
        # `_first` guards them until both are set; later they never change.
        self._bytes_per_sample, self._budget_bytes = 0.0, 0
        # Threads only ever lower it.
        self._limit = most

    def __call__(self, chunks: Samples) -> Samples:
        """Return `run`'s answers for `chunks`, joined along the first axis.

        Raises TransientError (out_of_memory), and what `run` raises.
        """
        answers: list[Samples] = []
        done = 0
        with self._first:  # other threads wait, and find the figures of the first run
            if not self._bytes_per_sample:
                answers.append(self._measured(chunks[:1]))
                done = 1
        while done < len(chunks):
            count = self._count(chunks.shape[-1], len(chunks) - done)
            try:
                answers.append(self._run(chunks[done : done + count]))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._lower(count, error)
            else:
                done += count
        return np.concatenate(answers)

    def _measured(self, chunk: Samples) -> Samples:
        try:
            answer, taken_bytes = self._memory.measured(lambda: self._run(chunk))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise _out_of_memory(1, error) from error
        self._budget_bytes = self._memory.budget_bytes()
        self._bytes_per_sample = max(taken_bytes, 1) / chunk.shape[-1]
        return answer

    def _count(self, samples: int, left: int) -> int:
        """Return how many of the `left` chunks of `samples` samples run at once now."""
        fit = min(self._limit, int(self._budget_bytes / (self._bytes_per_sample * samples)))
        count = 1 << (fit.bit_length() - 1) if fit else 1
        return count if count <= left else 1

    def _lower(self, count: int, error: Exception) -> None:
        self._memory.release()
        if count == 1:
            raise _out_of_memory(1, error) from error
        self._limit = min(self._limit, count // 2)


def _out_of_memory(count: int, error: Exception) -> TransientError:
    return TransientError(ErrorCode.OUT_OF_MEMORY, f"out of memory with {count} chunks at once: {error}")
