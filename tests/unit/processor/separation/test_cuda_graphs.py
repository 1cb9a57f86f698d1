"""Usual shapes run by graphs after their second run; whatever goes wrong there, the answers stay the same."""

import gc
import logging
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from processor.separation.runtimes.cuda_graphs import GraphedCall

USUAL = ((1, 3),)


class Network:
    """Doubles its input, and counts plain runs; memory is too short for `full_from` chunks."""

    def __init__(self, full_from: int = 100):
        self.plain_runs, self.full_from = 0, full_from

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        self.plain_runs += 1
        if len(x) >= self.full_from:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return (2 * x,)


class Capturing:
    """Stands in for a GPU: its graphs answer `factor` times their inputs, or the capture fails."""

    def __init__(self, factor: float = 2, error: Exception | None = None):
        self.factor, self.error = factor, error
        self.captured: list[tuple[int, ...]] = []
        self.replays = 0

    def __call__(self, call: Callable, inputs: tuple[Tensor, ...]) -> Callable[..., tuple[Tensor, ...]]:
        if self.error:
            raise self.error
        self.captured.append(tuple(inputs[0].shape))

        def replay(x: Tensor) -> tuple[Tensor, ...]:
            assert tuple(x.shape) == self.captured[-1]
            self.replays += 1
            return (self.factor * x,)

        return replay


def graphed(network: Network, capturing: Capturing) -> Callable[[int], None]:
    """Return a function that runs some chunks and checks their answers."""
    call = GraphedCall(network, USUAL, lambda: (), capturing)

    def run(chunks: int, samples: int = 3) -> None:
        x = torch.randn(chunks, samples)
        (answer,) = call(x)
        assert torch.equal(answer, 2 * x)

    return run


def test_a_number_of_chunks_is_captured_at_its_second_run():
    network, capturing = Network(), Capturing()
    run = graphed(network, capturing)
    run(2)
    assert capturing.captured == []
    run(2)
    assert capturing.captured == [(2, 3)]
    plain = network.plain_runs
    run(2)
    assert network.plain_runs == plain
    assert capturing.replays == 2  # the first one was the check


def test_other_shapes_run_plainly():
    network, capturing = Network(), Capturing()
    run = graphed(network, capturing)
    for _ in range(3):
        run(1, samples=2)
    assert capturing.captured == []
    assert network.plain_runs == 3


@pytest.mark.parametrize(
    "capturing",
    [
        Capturing(error=RuntimeError("operation not permitted when stream is capturing")),
        Capturing(error=torch.OutOfMemoryError("CUDA out of memory.")),
        Capturing(factor=2.1),
        Capturing(factor=float("nan")),
    ],
    ids=["refused", "out of memory", "another answer", "no number"],
)
def test_a_graph_that_cannot_be_used_is_told_once_and_changes_nothing(capturing, caplog):
    network = Network()
    run = graphed(network, capturing)
    with caplog.at_level(logging.WARNING):
        for chunks in (2, 2, 2, 1, 1, 1):
            run(chunks)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the network runs without CUDA graphs from now on"
    ]
    assert network.plain_runs == 6


def test_memory_that_runs_out_beside_graphs_takes_them_away(caplog):
    network, capturing = Network(full_from=4), Capturing()
    run = graphed(network, capturing)
    run(2)
    run(2)
    with caplog.at_level(logging.WARNING), pytest.raises(torch.OutOfMemoryError):
        run(4)
    assert len(caplog.records) == 1
    plain = network.plain_runs
    run(2)
    assert network.plain_runs == plain + 1


def test_memory_that_runs_out_without_graphs_is_no_reason_against_them():
    network, capturing = Network(full_from=4), Capturing()
    run = graphed(network, capturing)
    with pytest.raises(torch.OutOfMemoryError):
        run(4)
    run(2)
    run(2)
    assert capturing.captured == [(2, 3)]


def test_what_a_graph_reads_outlives_what_replaces_it_in_the_network():
    tables = [torch.zeros(2)]
    call = GraphedCall(Network(), USUAL, lambda: tuple(tables), Capturing())
    for _ in range(2):
        call(torch.randn(2, 3))
    replaced = weakref.ref(tables.pop())
    gc.collect()
    assert replaced() is not None
    del call
    assert replaced() is None
