"""Reads the parameters of Demucs v4 networks from their checkpoints, without torch and without running code.

A checkpoint is a ZIP archive, in which a pickle holds the arguments of the network's class beside references
to the weights. Only numbers, texts and containers are taken from it: all else becomes a stand-in.
"""

import collections
import fractions
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from processor.models import checks
from processor.models.model_files import ModelFiles

_PICKLE = "data.pkl"
_HARMLESS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("fractions", "Fraction"): fractions.Fraction,
}
# The defaults of the library's class.
_RATE_HZ, _SEGMENT_S, _N_FFT = 44100, 10, 4096


class UnknownCheckpoint(Exception):
    """The checkpoint is not that of a known class in a known format; the message is the reason, a clause."""


@dataclass(frozen=True)
class DemucsParameters:
    """A bag of Demucs v4 networks, or a single one.

    The networks take segments of `segment` samples, and use an STFT of `n_fft` samples. Their answers count
    by `shares`, [network, source].
    """

    sources: tuple[str, ...]
    segment: int
    n_fft: int
    shares: npt.NDArray[np.float32]

    @classmethod
    def of(cls, files: ModelFiles) -> Self:
        """Raise UnknownCheckpoint where the networks cannot be told without loading them."""
        bag = checks.read_yaml(files.path)
        by_signature = {path.stem.partition("-")[0]: path for path in files.parts}
        networks = [_arguments(by_signature[str(signature)]) for signature in bag["models"]]
        segment_s = bag.get("segment")
        facts = {_facts(network, segment_s) for network in networks}
        if len(facts) > 1:
            raise UnknownCheckpoint("its networks have different parameters")
        sources, segment, n_fft = facts.pop()
        return cls(sources, segment, n_fft, shares(bag.get("weights"), len(networks), len(sources)))


def shares(weights: list[list[float]] | None, networks: int, sources: int) -> npt.NDArray[np.float32]:
    """Return each network's share of each source, [network, source], from a bag's weights."""
    found = np.array(weights or np.ones((networks, sources)), np.float32)
    answer: npt.NDArray[np.float32] = found / found.sum(axis=0)
    return answer


def _facts(arguments: dict[str, Any], segment_s: Any) -> tuple[tuple[str, ...], int, int]:
    """Return sources, segment in samples, and the FFT's size; a bag's `segment_s` goes first."""
    seconds = arguments.get("segment", _SEGMENT_S) if segment_s is None else segment_s
    return (
        tuple(str(source) for source in arguments["sources"]),
        int(arguments.get("samplerate", _RATE_HZ) * seconds),
        int(arguments.get("nfft", _N_FFT)),
    )


def _arguments(checkpoint: Path) -> dict[str, Any]:
    """Return the keyword arguments of the checkpoint's network."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            name = next(name for name in archive.namelist() if name.endswith(f"/{_PICKLE}"))
            with archive.open(name) as file:
                found = _Unpickler(file).load()
        is_known = found["klass"].name == "HTDemucs" and not found["args"]
        arguments: dict[str, Any] = found["kwargs"]
    except Exception as error:  # a pickle of another program may raise anything
        raise UnknownCheckpoint(f"{checkpoint.name} has another format ({type(error).__name__})") from error
    if not is_known or "sources" not in arguments:
        raise UnknownCheckpoint(f"{checkpoint.name} is of another class")
    return arguments


class _Unpickler(pickle.Unpickler):
    """Reads a pickle without importing or calling what it names."""

    def find_class(self, module: str, name: str) -> Any:
        return _HARMLESS.get((module, name)) or type("StandIn", (_StandIn,), {"name": name})

    def persistent_load(self, reference: object) -> None:
        """Leave out weights."""


class _StandIn:
    """Stands for a class or function that a pickle names, and for what it makes."""

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass
