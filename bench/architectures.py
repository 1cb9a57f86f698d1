"""Says how long a song of each architecture is measured, at the network's real size.

A song is long enough for a few chunks, and short enough for about a minute on two cores.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Song:
    """A song of `seconds`. On a long song of the same grid, each step of `step_s` is one more chunk."""

    seconds: float
    step_s: float


@dataclass(frozen=True)
class Architecture:
    """The songs of an architecture, and how often each side runs a network for a chunk of a long song.

    `networks` counts a bag's networks. The library's defaults separate `passes` times with other shifts.
    """

    song: Song
    quick_song: Song
    networks: int = 1
    passes: int = 1

    def runs_per_s(self, is_library: bool, song: Song) -> float:
        """Return how many runs a second of a long song takes."""
        return self.networks * (self.passes if is_library else 1) / song.step_s


_MDX_STEP_S = 0.75 * 1024 * 255 / 44100
_VR_STEP_S = (512 - 2 * 128) * 480 / 44100
_VR51_STEP_S = (512 - 2 * 64) * 480 / 44100
_HTDEMUCS_STEP_S = 0.75 * 7.8
_MDX23C_STEP_S = 1024 * 255 / 8 / 44100
# Below 10 s the library's Roformers, and so ours, take chunks of 256 frames of 10 ms.
_SHORT_ROFORMER_S = 2.55

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "mdx": Architecture(Song(30, _MDX_STEP_S), Song(10, _MDX_STEP_S)),
        "vr": Architecture(Song(30, _VR_STEP_S), Song(10, _VR_STEP_S)),
        "vr51": Architecture(Song(30, _VR51_STEP_S), Song(10, _VR51_STEP_S)),
        "htdemucs": Architecture(Song(20, _HTDEMUCS_STEP_S), Song(10, _HTDEMUCS_STEP_S), passes=2),
        "htdemucs_ft": Architecture(
            Song(10, _HTDEMUCS_STEP_S), Song(5, _HTDEMUCS_STEP_S), networks=4, passes=2
        ),
        # Eight chunks cover each sample, so even the shortest song takes eight.
        "mdx23c": Architecture(Song(1, _MDX23C_STEP_S), Song(0.1, _MDX23C_STEP_S)),
        "mel_band_roformer": Architecture(Song(12, 11.0), Song(5, _SHORT_ROFORMER_S)),
        "bs_roformer": Architecture(Song(10, 2.0), Song(2.5, _SHORT_ROFORMER_S / 4)),
    }
)
