"""Runs audio-separator as its users do: its environment, its command, its list of models."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg

from processor.models import catalogue
from processor.separation.device import Device

_COMMAND_TIMEOUT_S = 1800


def list_model(model_dir: Path, name: str) -> None:
    """Add an MDX model in `model_dir` to the lists there, so that the library finds it without a network."""
    with catalogue.lock(model_dir):
        lists = catalogue.lists(model_dir)
        lists["mdx_download_list"] |= {f"MDX-Net Model: {name}": f"{name}.onnx"}
        (model_dir / catalogue.LISTS).write_text(json.dumps(lists))
        vr_data = model_dir / catalogue.VR_DATA
        if not vr_data.exists():
            vr_data.write_text("{}")


def environment(directory: Path, device: Device) -> dict[str, str]:
    """Return our environment with an executable named `ffmpeg` on the path, which the library needs.

    The library uses any GPU that it finds, so GPUs are hidden from it unless `device` is cuda.
    """
    bin_dir = directory / "bin"
    bin_dir.mkdir(exist_ok=True)
    link = bin_dir / "ffmpeg"
    if not link.is_symlink():
        link.symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    gpus = {} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **gpus, "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}"}


def run_command(
    model_dir: Path, model: str, segment_size: int, song: Path, target: Path, env: dict[str, str]
) -> float:
    """Run the library's command on one song; return the seconds that it took.

    `segment_size` is the model's own: with the default size the library would convert the model to torch and
    take even longer. Raises subprocess.SubprocessError.
    """
    argv = [str(Path(sys.executable).with_name("audio-separator")), str(song), "-m", f"{model}.onnx"]
    argv += ["--model_file_dir", str(model_dir), "--output_dir", str(target), "--output_format", "WAV"]
    argv += ["--mdx_segment_size", str(segment_size), "--log_level", "warning"]
    began_s = time.monotonic()
    subprocess.run(argv, check=True, env=env, timeout=_COMMAND_TIMEOUT_S, capture_output=True)
    took_s = time.monotonic() - began_s
    if len(list(target.iterdir())) != 2:
        raise RuntimeError(f"{argv[0]} wrote {sorted(p.name for p in target.iterdir())}, not two stems")
    return took_s
