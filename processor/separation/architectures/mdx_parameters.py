"""Reads an MDX network's lengths and stems from its entry in the data file, as the library does."""

from dataclasses import dataclass
from typing import Self

from processor.models.catalogue import Data

HOP_LENGTH = 1024
ZEROED_BINS = 3
"""The library sets so many of the lowest bins to 0 before the network."""
_NO = "No "
# The library's `CommonSeparator.STEM_PAIR_MAPPER`.
_OTHER_STEMS = {
    "Vocals": "Instrumental",
    "Instrumental": "Vocals",
    "lead_only": "backing_only",
    "backing_only": "lead_only",
    "Primary Stem": "Secondary Stem",
}


@dataclass(frozen=True)
class MdxParameters:
    """The network takes and gives spectra [batch, 4, `bins`, `frames`] of an STFT of `n_fft` samples.

    Its answer × `compensate` is the stem `primary`; the rest of the mix is `secondary`.
    """

    n_fft: int
    bins: int
    frames: int
    compensate: float
    primary: str
    secondary: str

    @classmethod
    def of(cls, entry: Data) -> Self:
        """Raise KeyError, TypeError or ValueError for an entry that lacks a value or has a wrong one."""
        primary = str(entry["primary_stem"])
        return cls(
            n_fft=int(entry["mdx_n_fft_scale_set"]),
            bins=int(entry["mdx_dim_f_set"]),
            frames=2 ** int(entry["mdx_dim_t_set"]),
            compensate=float(entry["compensate"]),
            primary=primary,
            secondary=other_stem(primary),
        )

    @property
    def chunk(self) -> int:
        """The samples of one input of the network."""
        return HOP_LENGTH * (self.frames - 1)

    @property
    def trim(self) -> int:
        """Half an FFT, in samples."""
        return self.n_fft // 2

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the spectra of one chunk."""
        return (1, 4, self.bins, self.frames)


def other_stem(stem: str) -> str:
    """Return the library's name for the rest of the mix, as its `CommonSeparator.secondary_stem` does."""
    opposite = stem.replace(_NO, "") if _NO in stem else _NO + stem
    return _OTHER_STEMS.get(stem, opposite)
