"""Random networks in the true configurations of models that users take, for measures of speed and memory.

The configurations are those of the models' files in UVR's and audio-separator's catalogues. Weights are drawn
so that activations neither vanish nor explode: torch's own initial weights where each layer is normalised
(Roformers, MDX23C, HTDemucs), He's rule for VR, and unit variance layer by layer for MDX-Net.

    python -m tests.support.processor.real_checkpoints MODEL_DIR [NAME ...]
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from tests.support.processor.random_checkpoints import (
    write_bs_roformer,
    write_demucs,
    write_mdx23c,
    write_mel_band_roformer,
    write_vr,
)
from tests.support.processor.random_mdx import MdxSize, write_mdx


@dataclass(frozen=True)
class RealModel:
    """A model of the catalogue by the name of its file; `write` takes a directory and a name."""

    catalogue_name: str
    write: Callable[[Path, str], str]


# model_bs_roformer_ep_317_sdr_12.9755.yaml
_BS_ROFORMER = {
    "audio": {"chunk_size": 352800, "dim_f": 1024, "dim_t": 801, "hop_length": 441},
    "model": {
        "dim": 512,
        "depth": 12,
        "freqs_per_bands": [2] * 24 + [4] * 12 + [12] * 8 + [24] * 8 + [48] * 8 + [128, 129],
        "dim_head": 64,
        "heads": 8,
        "attn_dropout": 0.1,
        "ff_dropout": 0.1,
        "flash_attn": True,
        "stft_hop_length": 441,
        "mask_estimator_depth": 2,
        "mlp_expansion_factor": 4,
    },
    "inference": {"dim_t": 801, "num_overlap": 4},
}
# vocals_mel_band_roformer.yaml, by Kimberley Jensen
_MEL_BAND_ROFORMER = {
    "audio": {"chunk_size": 352800, "dim_f": 1024, "dim_t": 256},
    "model": {
        "dim": 384,
        "depth": 6,
        "dim_head": 64,
        "heads": 8,
        "flash_attn": True,
        "mask_estimator_depth": 2,
        "mlp_expansion_factor": 4,
    },
    "inference": {"dim_t": 1101, "num_overlap": 1},
}
# model_2_stem_full_band_8k.yaml
_MDX23C = {
    "audio": {"chunk_size": 261120, "dim_f": 4096, "dim_t": 256, "n_fft": 8192},
    "model": {"growth": 128, "num_blocks_per_scale": 2, "num_channels": 128, "num_scales": 5},
    "inference": {"dim_t": 256, "num_overlap": 8},
}
# The arguments in the checkpoints of `htdemucs` and `htdemucs_ft` that are not the class's defaults.
_HTDEMUCS = {"dconv_mode": 3, "bottom_channels": 512, "t_dropout": 0.02, "segment": 7.8}
# The file of UVR-MDX-NET-Inst_HQ_4 has 59 MB, which these sizes give.
_MDX = MdxSize(n_fft=5120, bins=2560, frames_exponent=8, growth=48, scales=5, layers=3, bottleneck=8)

REAL: Mapping[str, RealModel] = MappingProxyType(
    {
        "mdx": RealModel("UVR-MDX-NET-Inst_HQ_4", partial(write_mdx, size=_MDX)),
        "vr": RealModel("2_HP-UVR", partial(write_vr, layout="4band_v2", v51=False, kib=123821)),
        "vr51": RealModel(
            "UVR-De-Echo-Normal",
            partial(write_vr, layout="4band_v3", outputs=48, outputs_lstm=128, kib=56817),
        ),
        "htdemucs": RealModel("htdemucs", partial(write_demucs, size=_HTDEMUCS)),
        "htdemucs_ft": RealModel("htdemucs_ft", partial(write_demucs, bag=4, size=_HTDEMUCS)),
        "mdx23c": RealModel("MDX23C-8KFFT-InstVoc_HQ", partial(write_mdx23c, size=_MDX23C)),
        "mel_band_roformer": RealModel(
            "vocals_mel_band_roformer", partial(write_mel_band_roformer, size=_MEL_BAND_ROFORMER)
        ),
        "bs_roformer": RealModel(
            "model_bs_roformer_ep_317_sdr_12.9755", partial(write_bs_roformer, size=_BS_ROFORMER)
        ),
    }
)


def write(directory: Path, architecture: str) -> str:
    """Write the random network of `architecture` into `directory`; return its name there."""
    directory.mkdir(parents=True, exist_ok=True)
    return REAL[architecture].write(directory, f"real_{architecture}")


def main(directory: Path, *architectures: str) -> None:
    for architecture in architectures or REAL:
        print(write(directory, architecture))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
