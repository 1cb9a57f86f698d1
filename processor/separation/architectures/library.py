"""Configures the networks of audio-separator's four architectures."""

import logging
import warnings
from typing import Any

import torch

from processor.audio.wav import SAMPLE_RATE
from processor.models import lazy_imports
from processor.models.model_files import ModelFiles
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
