"""Separates a file with audio-separator itself, for comparisons."""

import logging
from pathlib import Path

import numpy as np
import torch
from audio_separator.separator import Separator

from processor.separation.architectures import diffq_stand_in

diffq_stand_in.install()

# `shifts` would be random, and the stems of a loud file scaled one by one.
_DEMUCS = {"segment_size": "Default", "shifts": 0, "overlap": 0.25, "segments_enabled": True}


class Library:
    """One model, loaded by the library from its catalogue, and run on whole files."""

    def __init__(self, model_dir: Path, filename: str, work_dir: Path):
        separator = Separator(
            log_level=logging.WARNING,
            output_dir=str(work_dir),
            normalization_threshold=1.0,
            demucs_params=_DEMUCS,
            info_only=True,
        )
        separator.model_file_dir = str(model_dir)
        separator.torch_device = separator.torch_device_cpu = torch.device("cpu")
        separator.torch_device_mps = None
        separator.onnx_execution_provider = ["CPUExecutionProvider"]
        separator.load_model(filename)
        self._model = separator.model_instance

    def separate(self, source: Path) -> dict[str, np.ndarray]:
        """float32 [frame, 2] by the library's own names, in lower case, before they are written."""
        found: dict[str, np.ndarray] = {}

        def keep(path: str, stem: np.ndarray, name: str) -> None:
            found[name.lower()] = np.array(stem)

        self._model.final_process = keep
        self._model.separate(str(source))
        self._model.clear_file_specific_paths()
        return found
