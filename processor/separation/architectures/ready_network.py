"""Describes a network that is ready to run."""

from dataclasses import dataclass

from processor.separation.batches import Runner


@dataclass(frozen=True)
class ReadyNetwork:
    """`runner` takes chunks of the mix [chunk, 2, n] and returns the stems in them, [chunk, stem, 2, m].

    `placement` tells where the network runs, as ONNX providers, torch devices or a runtime's name. `threads`
    of their own run chunks beside the reading of the next ones; with 0 they run in turn.
    """

    runner: Runner
    placement: tuple[str, ...]
    threads: int
