"""What audio-separator's four architectures are given alike, and how their loading fails."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from processor.audio.wav import SAMPLE_RATE
from processor.models import lazy_imports
from processor.models.model_files import ModelFiles, ModelUnavailable
from processor.separation.device import DeviceChoice

# Only MDX's conversion to torch uses these, which takes models with another segment size than their own.
lazy_imports.postpone("onnx", "onnx2torch")

# The library's STFT asks for real output, which torch would rather not give any more.
warnings.filterwarnings("ignore", "stft with return_complex=False")


def common_config(files: ModelFiles, device: DeviceChoice) -> dict:
    """The first argument of the library's architecture classes."""
    return {
        "logger": logging.getLogger("audio_separator"),
        "log_level": logging.WARNING,
        "torch_device": torch.device(device.torch_device),
        "torch_device_cpu": torch.device("cpu"),
        "onnx_execution_provider": list(device.providers),
        "model_name": files.path.stem,
        "model_path": str(files.path),
        "model_data": files.parameters,
        "sample_rate": SAMPLE_RATE,
    }


@contextmanager
def loading(files: ModelFiles) -> Iterator[None]:
    """Turns whatever the library's loading ends in into ModelUnavailable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydub's, that there is no ffmpeg: nothing here needs one
        try:
            yield
        except ModelUnavailable:
            raise
        except (Exception, SystemExit) as error:  # a bad file may raise anything in there
            reason = str(error)
            if isinstance(error, SystemExit):
                reason = "its file does not fit its configuration, or is damaged"
            raise ModelUnavailable(f"model {files.name} cannot be loaded: {reason}") from error


def placement(*networks: torch.nn.Module) -> tuple[str, ...]:
    """The devices that hold the parameters."""
    return tuple(sorted({str(p.device) for network in networks for p in network.parameters()}))


def release_gpu() -> None:
    """Gives memory back that torch only keeps for later."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
