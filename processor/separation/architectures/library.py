"""Configures and loads the networks of audio-separator's four architectures."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from processor.audio.wav import SAMPLE_RATE
from processor.models import lazy_imports
from processor.models.model_files import ModelFiles, ModelUnavailable
from processor.separation.device import DeviceChoice

# Only MDX's conversion to torch uses these packages, and it is for other segment sizes than the model's own.
lazy_imports.postpone("onnx", "onnx2torch")

# The library's STFT asks for real output, which torch has deprecated.
warnings.filterwarnings("ignore", "stft with return_complex=False")


def common_config(files: ModelFiles, device: DeviceChoice) -> dict[str, Any]:
    """Return the first argument of the library's architecture classes."""
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
    """Convert any error of the library's loading into ModelUnavailable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydub warns that there is no ffmpeg, which nothing here needs
        try:
            yield
        except ModelUnavailable:
            raise
        except (Exception, SystemExit) as error:  # a bad file may raise anything in the library
            reason = str(error)
            if isinstance(error, SystemExit):
                reason = "its file does not fit its configuration, or is damaged"
            raise ModelUnavailable(f"model {files.name} cannot be loaded: {reason}") from error
