"""Small random networks of the torch architectures, saved as checkpoints that audio-separator loads.

What they answer is noise: they are for loading, grids, memory and errors, not for quality. Each writer makes
a small network unless it gets another size; `real_checkpoints` gives the sizes of the models that users take.

    python -m tests.support.processor.random_checkpoints MODEL_DIR [NAME ...]
"""

import hashlib
import json
import pydoc
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import yaml

from processor.models import catalogue
from processor.separation.architectures import diffq_stand_in

# The library's Demucs modules, which `pydoc.locate` imports, import it.
diffq_stand_in.install()

_AUDIO = {"n_fft": 2048, "num_channels": 2, "sample_rate": 44100}
_DEMUCS_SIZE = {
    "channels": 8,
    "depth": 4,
    "t_layers": 1,
    "t_heads": 2,
    "bottom_channels": 0,
    "segment": 1,
}
# The library tells version 5 networks by the size of their file in KiB; this one is the smallest.
_SMALLEST_VR_KIB = 31191
# A size is what differs from the small network, by the sections of its configuration.
Size = Mapping[str, Mapping[str, Any]]


def write_vr(
    directory: Path,
    name: str = "tiny_vr",
    layout: str = "1band_sr44100_hl1024",
    v51: bool = True,
    *,
    outputs: int = 4,
    outputs_lstm: int = 4,
    kib: int = _SMALLEST_VR_KIB,
) -> str:
    """`layout` is one of the library's band layouts.

    A network is of version 5.1 with `outputs` and `outputs_lstm` channels, or else the network of version 5
    whose file has `kib` KiB.
    """
    import audio_separator.separator.uvr_lib_v5.vr_network as package
    from audio_separator.separator.uvr_lib_v5.vr_network import nets
    from audio_separator.separator.uvr_lib_v5.vr_network.model_param_init import ModelParameters
    from audio_separator.separator.uvr_lib_v5.vr_network.nets_new import CascadedNet

    layouts = Path(package.__file__).parent / "modelparams"
    bins = ModelParameters(str(layouts / f"{layout}.json")).param["bins"]
    torch.manual_seed(1)
    path = directory / f"{name}.pth"
    data: dict[str, Any] = {"vr_model_param": layout, "primary_stem": "Vocals"}
    if v51:
        network = CascadedNet(bins * 2, kib, nout=outputs, nout_lstm=outputs_lstm)
        data |= {"nout": outputs, "nout_lstm": outputs_lstm}
    else:
        network = nets.determine_model_capacity(bins * 2, kib)
    torch.save(_unit_variance(network).state_dict(), path)
    add_data(directory, path, catalogue.VR_DATA, data)
    add_to_list(directory, "vr_download_list", f"VR Arch Single Model v5: {name}", path.name)
    return name


def write_demucs(
    directory: Path,
    name: str = "tiny_demucs",
    bag: int = 1,
    *,
    quantised: bool = False,
    size: Mapping[str, Any] = _DEMUCS_SIZE,
) -> str:
    """Write a bag of `bag` networks, up to four. Each source has one that alone counts for it."""
    options = {"sources": ["drums", "bass", "other", "vocals"], **size}
    content = {}
    if bag > 1:
        content["weights"] = [[float(source % bag == number) for source in range(4)] for number in range(bag)]
    return _save_demucs(directory, name, "demucs.htdemucs.HTDemucs", options, bag, content, quantised)


def write_hdemucs(directory: Path, name: str = "tiny_hdemucs") -> str:
    """As `hdemucs_mmi`: no transformer, no length of its own, and a segment that the bag's file tells."""
    options = {
        "sources": ["drums", "bass", "other", "vocals"],
        "channels": 4,
        # Compressed as much as real ones, so few channels would be one: too little for its norms.
        "dconv_comp": 2,
        "segment": 40,
    }
    return _save_demucs(directory, name, "demucs.hdemucs.HDemucs", options, 1, {"segment": 1})


def write_mdx23c(
    directory: Path,
    name: str = "tiny_mdx23c",
    instruments: tuple[str, ...] = ("Vocals", "Instrumental"),
    target: str | None = None,
    batch: int = 1,
    size: Size = MappingProxyType({}),
) -> str:
    from audio_separator.separator.uvr_lib_v5.tfc_tdf_v3 import TFC_TDF_net
    from ml_collections import ConfigDict

    config = {
        "audio": {"chunk_size": 64512, "dim_f": 256, "dim_t": 64, "hop_length": 1024, **_AUDIO},
        "model": {
            "act": "gelu",
            "bottleneck_factor": 4,
            "growth": 2,
            "norm": "InstanceNorm",
            "num_blocks_per_scale": 1,
            "num_channels": 2,
            "num_scales": 1,
            "num_subbands": 4,
            "scale": [2, 2],
        },
        "training": {"instruments": list(instruments), "target_instrument": target},
        "inference": {"batch_size": batch, "dim_t": 64, "num_overlap": 2},
    }
    config = _resized(config, size)
    torch.manual_seed(2)
    state = TFC_TDF_net(ConfigDict(config), device="cpu").state_dict()
    return _save_with_configuration(directory, name, config, state, "mdx23c_download_list")


def write_bs_roformer(
    directory: Path,
    name: str = "tiny_bs_roformer",
    instruments: tuple[str, ...] = ("Vocals", "Instrumental"),
    target: str | None = "Vocals",
    size: Size = MappingProxyType({}),
) -> str:
    # they add up to n_fft / 2 + 1
    bands = {"freqs_per_bands": [64] * 4 + [256] * 3 + [1], "stft_hop_length": 512}
    return _save_roformer(directory, name, "bs_roformer", bands, instruments, target, size)


def write_mel_band_roformer(
    directory: Path,
    name: str = "tiny_mel_band_roformer",
    instruments: tuple[str, ...] = ("Vocals", "Instrumental"),
    target: str | None = "Vocals",
    size: Size = MappingProxyType({}),
) -> str:
    """With the bands and the hop of the real ones."""
    bands = {"num_bands": 60, "sample_rate": 44100, "stft_hop_length": 441}
    return _save_roformer(directory, name, "mel_band_roformer", bands, instruments, target, size)


WRITERS: dict[str, Callable[[Path], str]] = {
    "tiny_vr": write_vr,
    "tiny_demucs": write_demucs,
    "tiny_mdx23c": write_mdx23c,
    "tiny_bs_roformer": write_bs_roformer,
    "tiny_mel_band_roformer": write_mel_band_roformer,
    "tiny_hdemucs": write_hdemucs,
}


def _unit_variance(network: torch.nn.Module) -> torch.nn.Module:
    """Draw the weights by He's rule, so that activations neither vanish nor explode through the layers.

    A layer of n inputs gets weights of variance 2 / n, which keeps the mean square through the layer and a
    ReLU. Source: He et al., "Delving Deep into Rectifiers", 2015. Meant for networks with batch norms, which
    do not normalise before a training.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


def _resized(config: dict[str, dict[str, Any]], size: Size) -> dict[str, dict[str, Any]]:
    return {section: {**values, **size.get(section, {})} for section, values in config.items()}


def _save_demucs(
    directory: Path,
    name: str,
    class_path: str,
    options: dict,
    bag: int,
    content: dict,
    quantised: bool = False,
) -> str:
    """`content` is what the bag's file tells beside its networks; `quantised` marks their states as such."""
    import audio_separator.separator.uvr_lib_v5 as package

    # Real checkpoints name their classes so.
    sys.path.insert(0, package.__path__[0])
    network = pydoc.locate(class_path)
    files, signatures = [], []
    for number in range(bag):
        torch.manual_seed(number)
        signature = hashlib.sha256(f"{name}{number}".encode()).hexdigest()[:8]
        state = network(**options).state_dict()
        if quantised:
            state["__quantized"] = True
        partial = directory / f"{name}.part"
        torch.save({"klass": network, "args": (), "kwargs": options, "state": state}, partial)
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()[:8]
        files.append(partial.rename(directory / f"{signature}-{digest}.th").name)
        signatures.append(signature)
    (directory / f"{name}.yaml").write_text(yaml.safe_dump({"models": signatures, **content}))
    urls = {file: f"https://invalid.example/{file}" for file in (*files, f"{name}.yaml")}
    add_to_list(directory, "demucs_download_list", f"Demucs v4: {name}", urls)
    return name


def _save_roformer(
    directory: Path,
    name: str,
    family: str,
    bands: dict,
    instruments: tuple[str, ...],
    target: str | None,
    size: Size,
) -> str:
    """`bands` is what the families are configured by differently, and the hop."""
    from audio_separator.separator.roformer.configuration_normalizer import ConfigurationNormalizer
    from audio_separator.separator.roformer.roformer_loader import RoformerLoader

    hop = bands["stft_hop_length"]
    config = {
        "audio": {"chunk_size": hop * 127, "hop_length": hop, **_AUDIO},
        "model": {
            "dim": 8,
            "depth": 1,
            "stereo": True,
            "num_stems": 1 if target else len(instruments),
            "time_transformer_depth": 1,
            "freq_transformer_depth": 1,
            "dim_head": 4,
            "heads": 1,
            "attn_dropout": 0.0,
            "ff_dropout": 0.0,
            "flash_attn": False,
            "mask_estimator_depth": 1,
            "stft_n_fft": 2048,
            "stft_win_length": 2048,
            "stft_normalized": False,
            "mlp_expansion_factor": 1,
            **bands,
        },
        "training": {"instruments": list(instruments), "target_instrument": target},
        "inference": {"batch_size": 1, "dim_t": 128, "num_overlap": 2},
    }
    config = _resized(config, size)
    normal = ConfigurationNormalizer().normalize_config(config, family, apply_defaults=True, validate=True)
    torch.manual_seed(3)
    create = getattr(RoformerLoader(), f"_create_{family}")
    return _save_with_configuration(
        directory, name, config, create(normal).state_dict(), "roformer_download_list"
    )


def _save_with_configuration(directory: Path, name: str, config: dict, state: dict, list_name: str) -> str:
    (directory / f"{name}.yaml").write_text(yaml.safe_dump(config))
    torch.save(state, directory / f"{name}.ckpt")
    add_to_list(directory, list_name, f"Model: {name}", {f"{name}.ckpt": f"{name}.yaml"})
    return name


def add_to_list(directory: Path, list_name: str, title: str, listed: str | dict[str, str]) -> None:
    """Add a model to the library's lists in `directory`."""
    lists = catalogue.lists(directory)
    lists[list_name][title] = listed
    (directory / catalogue.LISTS).write_text(json.dumps(lists))


def add_data(directory: Path, path: Path, data_file: str, data: Mapping[str, Any]) -> None:
    """Add the parameters of the model in `path` to `data_file`. The library needs both data files."""
    for name in (catalogue.VR_DATA, catalogue.MDX_DATA):
        file = directory / name
        known = json.loads(file.read_text()) if file.exists() else {}
        added = {catalogue.model_hash(path): dict(data)} if name == data_file else {}
        file.write_text(json.dumps(known | added))


def main(directory: Path, *names: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names or WRITERS:
        print(WRITERS[name](directory))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
