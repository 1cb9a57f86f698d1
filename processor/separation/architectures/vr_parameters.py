"""Reads a VR network's bands and stems from its entry in the data file, as the library does."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from processor.models.model_files import ModelFiles
from processor.separation.architectures.mdx_parameters import other_stem

# The library's default, in frames.
WINDOW = 512
_LAYOUTS = "separator/uvr_lib_v5/vr_network/modelparams"
# The file sizes in KiB by which the library tells networks apart.
_SIZES = (31191, 33966, 56817, 123821, 123812, 129605, 218409, 537238, 537227)
# Of networks of version 5.1.
_V51_SIZES = (56817, 218409)
# The library's default, in percent.
_AGGRESSION = 5
# The library's `CommonSeparator.NON_ACCOM_STEMS`.
_NO_ACCOMPANIMENTS = (
    "Vocals",
    "Other",
    "Bass",
    "Drums",
    "Guitar",
    "Piano",
    "Synthesizer",
    "Strings",
    "Woodwinds",
    "Brass",
    "Wind Inst",
)


@dataclass(frozen=True)
class VrParameters:
    """A VR network: `layout` are the library's parameters of its bands, which are numbered from 1.

    `size` is the size of a file in KiB by which the library tells the network. Masks are raised to `powers`,
    one for each channel, and in the lowest band to less.
    """

    layout: Mapping[str, Any]
    size: int
    is_v51: bool
    primary: str
    secondary: str
    powers: tuple[float, float]

    @classmethod
    def of(cls, files: ModelFiles) -> Self:
        """Raise KeyError, TypeError, ValueError or OSError where a value is missing or wrong."""
        entry = files.parameters
        file = resources.files("audio_separator").joinpath(_LAYOUTS, f"{entry['vr_model_param']}.json")
        layout = json.loads(file.read_text())
        layout["band"] = {int(number): band for number, band in layout["band"].items()}
        kib = math.ceil(files.path.stat().st_size / 1024)
        size = min(_SIZES, key=lambda size: abs(size - kib))
        primary = str(entry["primary_stem"])
        return cls(
            layout,
            size,
            is_v51=size in _V51_SIZES or ("nout" in entry and "nout_lstm" in entry),
            primary=primary,
            secondary=other_stem(primary),
            powers=_powers(primary, layout.get("aggr_correction")),
        )

    @property
    def bins(self) -> int:
        """The number of bins of all bands together, without the last one."""
        return int(self.layout["n_bins"] if "n_bins" in self.layout else self.layout["bins"])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the network's input for one patch."""
        return (1, 2, self.bins + 1, WINDOW)

    @property
    def offset(self) -> int:
        """The frames that the network's answer lacks on each side."""
        return 64 if self.is_v51 else 128

    def adjusted(self, mask: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the mask [channel, bin, frame] as the library's `adjust_aggr` changes it."""
        split = int(self.layout["band"][1]["crop_stop"])
        changed = np.empty_like(mask)
        for channel, (power, values) in enumerate(zip(self.powers, mask, strict=True)):
            changed[channel, :split] = values[:split] ** np.float32(1 + (power - 1) / 3)
            changed[channel, split:] = values[split:] ** np.float32(power)
        return changed

    @property
    def rate_hz(self) -> int:
        """The sampling rate of the network's answer."""
        return int(self.layout["sr"])


def _powers(primary: str, correction: Mapping[str, float] | None) -> tuple[float, float]:
    """Return what the library raises the masks of both channels to."""
    aggression = 2 * _AGGRESSION / 100
    own = 1 - aggression if primary in _NO_ACCOMPANIMENTS else aggression
    left, right = (correction["left"], correction["right"]) if correction else (0.0, 0.0)
    return 1 + own + left, 1 + own + right
