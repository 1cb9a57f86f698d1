"""Streaming overlap-add on whatever grid an architecture of audio-separator uses, in constant memory.

Accumulators are float32 like the library's, so that the result is its whole-file result to well below
1 LSB of 16 bit.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

Samples = np.ndarray  # float32, [..., channel, sample]
Read = Callable[[int], Samples]


@dataclass(frozen=True)
class Mix:
    """What a network is to separate. `open` gives a reader of its own, from the beginning, to each caller.

    A reader's `read(n)` gives the next n samples, [2, n], fewer at the end.
    """

    frames: int
    open: Callable[[], Read]


@dataclass(frozen=True)
class Chunk:
    """One run of the network: on `length` samples from `start`, zeros where that is outside of the mix.

    The answer from its sample `skip` on counts by `weight`, and ends where that does.
    """

    start: int
    length: int
    weight: np.ndarray
    skip: int = 0


class Window:
    """Slides over a mix and holds no more of it than it needs."""

    def __init__(self, read: Read):
        self._read = read
        self._begin = 0
        self._held = np.zeros((2, 0), np.float32)

    def take(self, start: int, length: int) -> Samples:
        """[2, length], zeros outside of the mix. `start` must not be smaller than at the last call."""
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
    """Yields the network's answer for the mix in order, [stem, 2, n], `frames` samples in all.

    `run` takes [chunk, 2, length] and gives [chunk, stem, 2, at least what the weight asks for]; it gets
    `batch` chunks at once, all of one length then, and runs in `threads` threads of its own, if any. Chunks
    come by their `start` and by their first answered sample. The sum is divided by that of the weights, or by
    `divisor`.
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
    iterator = iter(chunks)
    while group := list(itertools.islice(iterator, size)):
        yield group


def _beside(
    run: Callable[[Samples], Samples], inputs: Iterable[tuple[list[Chunk], Samples]], threads: int
) -> Iterator[tuple[list[Chunk], Samples]]:
    """What `run` gives for each input, in their order; beside what the reader does with it."""
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
        # A reader that stops early must not wait for the network.
        pool.shutdown(wait=False, cancel_futures=True)


class _Sums:
    """Weighted sums of answers, from the first sample that is not yet taken or that an answer began at."""

    def __init__(self, frames: int, divisor: float | None):
        self._frames, self._divisor = frames, divisor
        self._begin: int | None = None

    def add(self, first: int, answer: Samples, weight: np.ndarray) -> None:
        if self._begin is None:
            self._begin = first
            self._total = np.zeros((*answer.shape[:-1], 0), np.float32)
            self._weights = np.zeros(0, np.float32)
        part = slice(first - self._begin, first - self._begin + answer.shape[-1])
        self._extend(first - self._begin + len(weight))
        self._total[..., part] += answer * weight[: answer.shape[-1]]
        self._weights[part] += weight[: answer.shape[-1]]

    def take_until(self, end: int) -> Iterator[Samples]:
        """What is before `end` and in the mix; no later answer may begin before `end`."""
        if self._begin is None:
            return
        size = max(min(end, self._begin + len(self._weights)) - self._begin, 0)
        inside = slice(max(-self._begin, 0), min(size, self._frames - self._begin))
        if inside.start < inside.stop:
            # Where no answer reaches, the sum is zero and so is the result.
            divisor = self._divisor or np.maximum(self._weights[inside], 1e-10)
            yield self._total[..., inside] / divisor
        self._total, self._weights = self._total[..., size:], self._weights[size:]
        self._begin += size

    def _extend(self, size: int) -> None:
        more = size - len(self._weights)
        if more > 0:
            empty = np.zeros((*self._total.shape[:-1], more), np.float32)
            self._total = np.concatenate([self._total, empty], axis=-1)
            self._weights = np.concatenate([self._weights, np.zeros(more, np.float32)])
