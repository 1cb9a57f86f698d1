"""A model loaded through audio-separator, as the separator sees it, whatever its architecture."""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from processor.models.model_files import ModelFiles
from processor.separation.device import DeviceChoice
from processor.separation.overlap_add import Mix, Samples


@dataclass(frozen=True)
class Residual:
    """The stem `name` is the mix minus the stem `of`."""

    name: str
    of: str


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model.

    `estimate` yields float32 [stem, 2, n], the mix's samples in order, for `stems` in their order.
    `placement`: where the loaded model says that it is, as ONNX providers or torch devices.
    """

    name: str
    stems: tuple[str, ...]
    residual: Residual | None
    estimate: Callable[[Mix], Iterator[Samples]]
    placement: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All stems that come of it."""
        return (*self.stems, self.residual.name) if self.residual else self.stems


def load(files: ModelFiles, device: DeviceChoice) -> LoadedModel:
    """Loads the model and readies it for the first chunk. Raises ModelUnavailable."""
    # Each architecture has imports of its own, which take seconds.
    module = importlib.import_module(f"processor.separation.architectures.{files.architecture.lower()}")
    return module.load(files, device)


def stem_name(name: str) -> str:
    """`Vocals` becomes vocals, `No Drums` no_drums: a name for files and messages."""
    return re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_") or "stem"


def vocals_residual(stems: tuple[str, ...]) -> Residual | None:
    """The instrumental of networks that give vocals but none."""
    if "vocals" in stems and "instrumental" not in stems:
        return Residual("instrumental", "vocals")
    return None
