"""Describes an MDX network that is ready to run."""

from dataclasses import dataclass

from processor.separation.batches import Runner


@dataclass(frozen=True)
class MdxNetwork:
    """`runner` takes chunks of the mix [chunk, 2, n] and returns the stem in them, [chunk, 1, 2, n].

    `placement` tells where the network runs, as ONNX providers or a runtime's name.
    """

    runner: Runner
    placement: tuple[str, ...]
