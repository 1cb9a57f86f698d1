"""On the CPU, MDX networks are loaded and run without torch and without the library's classes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.paths import REPOSITORY
from tests.support.processor.centre_model import write_centre_model

SEPARATE = """
import sys
from pathlib import Path
from processor.models import model_files
from processor.separation import device, loaded_model, streaming
from processor.separation.runtimes.core import Plan

runtime, directory = sys.argv[1], Path(sys.argv[2])
files = model_files.ensure("centre", directory, fetch=False)
plan = Plan(runtime, "fp32", (files.path,) if runtime == "openvino" else ())
model = loaded_model.load(files, device.CPU, plan)
streaming.separate(model, directory / "mix.wav", directory, "wav", lambda done: None, lambda: None)
print(sorted({"torch", "audio_separator.separator", "librosa", "onnx"} & sys.modules.keys()))
"""


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_neither_is_imported(tmp_path: Path, runtime: str):
    write_centre_model(tmp_path)
    audio.write(tmp_path / "mix.wav", audio.noise(3))
    ended = subprocess.run(
        [sys.executable, "-c", SEPARATE, runtime, tmp_path], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "[]\n"
    assert (tmp_path / "vocals.wav").stat().st_size > 1000
