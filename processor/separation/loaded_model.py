"""Loads a model of any architecture through audio-separator, in the form that the separation uses."""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from processor.models.model_files import ModelFiles
from processor.separation.device import CPU, DeviceChoice
from processor.separation.overlap_add import Mix, Samples
from processor.separation.runtimes.core import Plan, Precision, Runtime


@dataclass(frozen=True)
class Residual:
    """The stem `name` is the mix minus the stem `of`."""

    name: str
    of: str


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to separate mixes.

    `estimate` yields float32 [stem, 2, n], in the order of `stems`; together the n cover the mix's samples in
    order. `placement` tells where the model runs, as ONNX providers or torch devices.
    `runtime` and `precision` tell how its networks are computed.
    """

    name: str
    stems: tuple[str, ...]
    residual: Residual | None
    estimate: Callable[[Mix], Iterator[Samples]]
    placement: tuple[str, ...]
    runtime: Runtime
    precision: Precision

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all stems that a song gets, in order."""
        return (*self.stems, self.residual.name) if self.residual else self.stems


def load(files: ModelFiles, device: DeviceChoice, plan: Plan | None = None) -> LoadedModel:
    """Load the model, ready for the first chunk. Raises ModelUnavailable.

    Without a `plan` the networks are computed in float32 by the runtime that their files are made for.
    """
    module = architecture(files)
    loaded: LoadedModel = module.load(files, device, plan) if plan else module.load(files, device)
    return loaded


def uses_torch(files: ModelFiles, device: DeviceChoice, plan: Plan | None) -> bool:
    """Tell whether the model needs torch as it is planned: for the network, or for the spectra around it."""
    if files.architecture == "MDX":
        return device != CPU
    return plan is None or not plan.is_by_arrays(device)


def architecture(files: ModelFiles) -> ModuleType:
    """Import and return the module of the model's architecture."""
    # Import one architecture only: each has imports of its own, which take seconds.
    return importlib.import_module(f"processor.separation.architectures.{files.architecture.lower()}")


def stem_name(name: str) -> str:
    """Return a stem's name for files and messages: `Vocals` becomes vocals, `No Drums` no_drums."""
    return re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_") or "stem"


def vocals_residual(stems: tuple[str, ...]) -> Residual | None:
    """Return the instrumental of a model that gives vocals and no instrumental; None for other models."""
    if "vocals" in stems and "instrumental" not in stems:
        return Residual("instrumental", "vocals")
    return None
