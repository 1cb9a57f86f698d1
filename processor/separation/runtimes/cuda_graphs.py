"""Runs a network on a GPU by CUDA graphs: one launch for the thousands of small kernels of a run.

A graph repeats a run on inputs of the same shapes, at the same addresses. Source: "CUDA Graphs" on the page
"CUDA semantics" of torch's documentation.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from processor.separation.runtimes.core import Shapes

log = logging.getLogger(__name__)

Call = Callable[..., tuple[Tensor, ...]]
Capture = Callable[[Call, tuple[Tensor, ...]], Call]
# A graph runs the same kernels as before, so its answers differ by the order of some sums at most.
_MOST_ERROR = 1e-4


class GraphDiffers(RuntimeError):
    """A graph does not repeat the run that it was captured from."""


@dataclass(frozen=True)
class Graph:
    """A captured run. `inputs` and `answers` are the places that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    answers: tuple[Tensor, ...]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.inference_mode():
            for place, value in zip(self.inputs, inputs, strict=True):
                place.copy_(value)
            self.graph.replay()
            # The next replay writes over the places.
            return tuple(answer.clone() for answer in self.answers)


def capture(call: Call, inputs: tuple[Tensor, ...]) -> Graph:
    """Return a graph of `call` on the shapes of `inputs`. Raises RuntimeError, as torch does.

    A run on a side stream comes first, for what libraries set up once and what networks keep from a run.
    """
    with torch.inference_mode():
        places = tuple(value.clone() for value in inputs)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch does not annotate it
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        call(*places)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # Another thread may copy chunks meanwhile, which is no error of this capture.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        answers = call(*places)
    return Graph(graph, places, answers)


class GraphedCall:
    """Calls a network by a graph where the shapes are the usual ones, in any number of chunks.

    A number of chunks is captured when it comes the second time. Where a capture fails, or memory runs out
    beside the graphs, the log says so once, and all runs are plain from then on.
    """

    def __init__(
        self,
        call: Call,
        usual: Shapes,
        read: Callable[[], tuple[Tensor, ...]],
        capture: Capture = capture,
    ):
        """`usual` are the shapes for one chunk; `read` returns what the network reads beside its inputs."""
        self._call, self._read, self._capture = call, read, capture
        self._usual = tuple(shape[1:] for shape in usual)
        self._captures = True
        self._seen: set[Shapes] = set()
        self._graphs: dict[Shapes, Call] = {}
        # Networks replace what they keep from a run, such as tables for longer inputs. Graphs read the old.
        self._kept: list[tuple[Tensor, ...]] = []

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the network's answers. Raises what the network raises."""
        shapes = tuple(tuple(value.shape) for value in inputs)
        if shapes in self._graphs:
            return self._graphs[shapes](*inputs)
        if not self._captures or tuple(shape[1:] for shape in shapes) != self._usual:
            return self._plain(inputs)
        answers = self._plain(inputs)
        if shapes in self._seen:
            self._add(shapes, inputs, answers)
        self._seen.add(shapes)
        return answers

    def _plain(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        try:
            return self._call(*inputs)
        except torch.OutOfMemoryError as error:
            if self._graphs:
                self._give_up(error)
            raise

    def _add(self, shapes: Shapes, inputs: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
        """Capture a graph whose first replay answers what the plain run has answered."""
        try:
            graph = self._capture(self._call, inputs)
            for plain, replayed in zip(expected, graph(*inputs), strict=True):
                _require_alike(plain, replayed)
        except RuntimeError as error:  # torch's errors of CUDA are of this class
            self._give_up(error)
            return
        self._kept.append(self._read())
        self._graphs[shapes] = graph

    def _give_up(self, error: RuntimeError) -> None:
        log.warning("the network runs without CUDA graphs from now on: %s", error)
        self._captures = False
        self._graphs.clear()
        self._kept.clear()


def _require_alike(plain: Tensor, replayed: Tensor) -> None:
    """Raise GraphDiffers unless Σ (x - y)² ≤ _MOST_ERROR · Σ x²."""
    error, signal = float((plain - replayed).square().sum()), float(plain.square().sum())
    if not error <= _MOST_ERROR * signal:  # also for NaN
        raise GraphDiffers(f"its answers differ by {error:.3g}, in squares of {signal:.3g}")
