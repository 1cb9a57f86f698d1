"""Adds up a network's overlapping answers on the grid of any architecture, in constant memory.

The sums are float32 as in audio-separator, so that the result equals its whole-file result to well below
1 LSB of 16 bits.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]  # [..., channel, sample]
Weights = npt.NDArray[np.floating[Any]]  # [sample]
Read = Callable[[int], Samples]


@dataclass(frozen=True)
class Mix:
    """A mix of `frames` samples per channel. Each call of `open` returns a new reader, at the beginning.

    A reader's `read(n)` returns the next n samples, float32 [2, n], fewer at the end.
    """

    frames: int
    open: Callable[[], Read]


@dataclass(frozen=True)
class Chunk:
    """One run of the network, on the `length` samples of the mix from `start`.

    Samples outside of the mix are 0. The answer is multiplied by `weight` from its sample `skip` on, and used
    as far as `weight` reaches.
    """

    start: int
    length: int
    weight: Weights
    skip: int = 0


class Window:
    """Slides forward over a mix, and holds only the samples that later calls may need."""

    def __init__(self, read: Read):
        self._read = read
        self._begin = 0
        self._held = np.zeros((2, 0), np.float32)

    def take(self, start: int, length: int) -> Samples:
        """Return the samples [2, length] from `start`, 0 outside of the mix. `start` must never decrease."""
        first = max(start, 0)
        self._drop(first - self._begin)
        wanted = start + length - self._begin - self._held.shape[1]
        if wanted > 0:
            self._held = np.concatenate([self._held, self._read(wanted)], axis=1)
        taken = np.zeros((2, length), np.float32)
        samples = self._held[:, : max(start + length - first, 0)]
        taken[:, first - start : first - start + samples.shape[1]] = samples
        return taken

    def _drop(self, count: int) -> None:
        if count > self._held.shape[1]:
            self._read(count - self._held.shape[1])
        self._held = self._held[:, count:]
        self._begin += count


def stream(
    read: Read,
    frames: int,
    chunks: Iterable[Chunk],
    run: Callable[[Samples], Samples],
    divisor: float | None = None,
    batch: int = 1,
    threads: int = 0,
) -> Iterator[Samples]:
    """Yield the network's answer for the mix in order, as [stem, 2, n] with `frames` samples in all.

    Each sample is Σ weight × answer, over the chunks that cover it, divided by Σ weight or by `divisor`.
    `chunks` must be sorted by `start` and by their first used sample.

    `run` takes [chunk, 2, length] and returns [chunk, stem, 2, m], where m covers `skip` and the weight. It
    gets up to `batch` chunks of one length at once. With `threads` it runs in that many threads of its own.
    Raises what `read` and `run` raise.
    """
    window = Window(read)
    sums = _Sums(frames, divisor)

    def inputs() -> Iterator[tuple[list[Chunk], Samples]]:
        for group in _batches(chunks, batch):
            yield group, np.stack([window.take(chunk.start, chunk.length) for chunk in group])

    found = _beside(run, inputs(), threads) if threads else ((group, run(x)) for group, x in inputs())
    for group, answers in found:
        for chunk, answer in zip(group, answers, strict=True):
            first = chunk.start + chunk.skip
            yield from sums.take_until(first)
            sums.add(first, answer[..., chunk.skip : chunk.skip + len(chunk.weight)], chunk.weight)
    yield from sums.take_until(frames)


def _batches(chunks: Iterable[Chunk], size: int) -> Iterator[list[Chunk]]:
    """Yield up to `size` chunks of one length at a time, in their order."""
    for _, alike in itertools.groupby(chunks, key=lambda chunk: chunk.length):
        while group := list(itertools.islice(alike, size)):
            yield group


def _beside(
    run: Callable[[Samples], Samples], inputs: Iterable[tuple[list[Chunk], Samples]], threads: int
) -> Iterator[tuple[list[Chunk], Samples]]:
    """Yield `run`'s answer to each input in order, and compute the next ones in threads meanwhile."""
    pending: deque[tuple[list[Chunk], Future[Samples]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="network")
    try:
        for group, samples in inputs:
            pending.append((group, pool.submit(run, samples)))
            if len(pending) > threads:
                first, answer = pending.popleft()
                yield first, answer.result()
        for group, answer in pending:
            yield group, answer.result()
    finally:
        # Do not wait for the network: the reader may have stopped early.
        pool.shutdown(wait=False, cancel_futures=True)


class _Sums:
    """The weighted sums of answers, from the sample `_begin` on.

    `_begin` is the first answer's beginning, and later the first sample that is not taken yet.
    """

    def __init__(self, frames: int, divisor: float | None):
        self._frames, self._divisor = frames, divisor
        self._begin: int | None = None

    def add(self, first: int, answer: Samples, weight: Weights) -> None:
        """Add an answer that begins at sample `first` of the mix."""
        if self._begin is None:
            self._begin = first
            self._total = np.zeros((*answer.shape[:-1], 0), np.float32)
            self._weights = np.zeros(0, np.float32)
        part = slice(first - self._begin, first - self._begin + answer.shape[-1])
        self._extend(first - self._begin + len(weight))
        self._total[..., part] += answer * weight[: answer.shape[-1]]
        self._weights[part] += weight[: answer.shape[-1]]

    def take_until(self, end: int) -> Iterator[Samples]:
        """Yield the samples before `end` that are in the mix. No later answer may begin before `end`."""
        if self._begin is None:
            return
        size = max(min(end, self._begin + len(self._weights)) - self._begin, 0)
        inside = slice(max(-self._begin, 0), min(size, self._frames - self._begin))
        if inside.start < inside.stop:
            # Where no answer reaches, the sum is zero and so is the result.
            divisor = self._divisor or np.maximum(self._weights[inside], 1e-10)
            yield cast(Samples, self._total[..., inside] / divisor)  # still float32 with a Python float
        self._total, self._weights = self._total[..., size:], self._weights[size:]
        self._begin += size

    def _extend(self, size: int) -> None:
        more = size - len(self._weights)
        if more > 0:
            empty = np.zeros((*self._total.shape[:-1], more), np.float32)
            self._total = np.concatenate([self._total, empty], axis=-1)
            self._weights = np.concatenate([self._weights, np.zeros(more, np.float32)])
