"""Checks a model's files before anything in them is loaded."""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import yaml

from processor.models import catalogue
from processor.models.catalogue import Architecture, Data

_REQUIRED: dict[Architecture, tuple[str, ...]] = {
    "MDX": ("compensate", "mdx_dim_f_set", "mdx_dim_t_set", "mdx_n_fft_scale_set", "primary_stem"),
    "VR": ("vr_model_param", "primary_stem"),
}
_REQUIRED_CONFIGURATION = ("audio", "model", "training", "inference")
_VR_LAYOUTS = "separator/uvr_lib_v5/vr_network/modelparams"


class BadModel(Exception):
    """A model file is damaged or unknown; the message names the file."""


def check_name(path: Path, sha256: str, known: bool) -> None:
    """Check that the name of a Demucs checkpoint holds the beginning of its digest. Raises BadModel.

    Loading such a checkpoint runs code in it, so its origin must be sure. Where the digest is recorded beside
    the file (`known`), the name need not hold it.
    """
    if path.suffix != ".th":
        return
    match = re.fullmatch(r"[^-]+-([0-9a-f]{8,})", path.stem)
    if match is None and not known:
        raise BadModel(f"{path} is not loaded: neither its name nor a record beside it holds its digest")
    if match and not sha256.startswith(match[1]):
        raise BadModel(
            f"{path} is damaged or was changed: its sha256 begins with {sha256[:8]}, not {match[1]}; "
            "remove it, then fetch it again"
        )


def parameters(architecture: Architecture, model_dir: Path, path: Path, parts: Sequence[Path]) -> Data:
    """Return the parameters that the library needs to load the model. Raises BadModel."""
    if architecture in catalogue.DATA_FILES:
        return _data(architecture, model_dir, path)
    if architecture == "Demucs":
        _check_bag(path, parts)
        return {}
    return _configuration(parts[0])


def _data(architecture: Architecture, model_dir: Path, path: Path) -> Data:
    name = catalogue.DATA_FILES[architecture]
    found = catalogue.parameters(model_dir, path, architecture)
    if found is None:
        raise BadModel(
            f"{path} is not a model that {name} knows (key {catalogue.model_hash(path)}): "
            "it is damaged, or its entry is missing"
        )
    if not isinstance(found, dict):
        raise BadModel(f"the entry of {path.name} in {name} is not an object of JSON")
    if missing := [key for key in _REQUIRED[architecture] if key not in found]:
        raise BadModel(f"the entry of {path.name} in {name} lacks {', '.join(missing)}")
    if architecture == "VR":
        layout = resources.files("audio_separator").joinpath(_VR_LAYOUTS, f"{found['vr_model_param']}.json")
        if not layout.is_file():
            raise BadModel(f"{path.name} needs {layout.name}, which the installed audio-separator lacks")
    return found


def _check_bag(path: Path, parts: Sequence[Path]) -> None:
    signatures = read_yaml(path).get("models")
    if not isinstance(signatures, list) or not signatures:
        raise BadModel(f"{path} is damaged: it names no networks")
    here = {part.stem.partition("-")[0] for part in parts}
    if absent := [str(signature) for signature in signatures if str(signature) not in here]:
        raise BadModel(f"{path} names networks that are not among the model's files: {', '.join(absent)}")


def _configuration(path: Path) -> Data:
    found = read_yaml(path)
    if missing := [key for key in _REQUIRED_CONFIGURATION if not isinstance(found.get(key), dict)]:
        raise BadModel(f"{path} is damaged: it lacks {', '.join(missing)}")
    if not found["training"].get("instruments"):
        raise BadModel(f"{path} is damaged: it names no instruments")
    if "roformer" in path.name.lower():
        found["is_roformer"] = True  # the library's rule, which otherwise looks into the configuration
    return found


def read_yaml(path: Path) -> Data:
    """Return the mapping in a YAML file. Raises BadModel and OSError."""
    return parse_yaml(path, path.read_bytes())


def parse_yaml(path: Path, content: bytes) -> Data:
    """Return the mapping in the content of the YAML file `path`. Raises BadModel."""
    try:
        # The library's loader: configurations hold Python tuples, which the safe loader refuses.
        found = yaml.load(content.decode("utf-8"), Loader=yaml.FullLoader)
    except Exception as error:  # noqa: BLE001 (a value that its tag does not allow raises whatever Python does)
        raise BadModel(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise BadModel(f"{path} is damaged: it is no configuration")
    return found
