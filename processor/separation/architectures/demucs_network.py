"""Describes the networks of a Demucs model that are ready to run."""

from collections.abc import Callable
from dataclasses import dataclass

from processor.separation.architectures.ready_network import ReadyNetwork


@dataclass(frozen=True)
class DemucsNetwork:
    """A bag of networks, or a single one, for segments of `segment` samples.

    `taken` returns how many samples the networks take for the last segments of a song, which are shorter.
    """

    ready: ReadyNetwork
    sources: tuple[str, ...]
    segment: int
    taken: Callable[[int], int]
