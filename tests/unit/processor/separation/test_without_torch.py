"""On the CPU, MDX and converted networks are loaded and run without torch and the library's classes."""

import subprocess
import sys
from pathlib import Path

import pytest

from processor.models import model_files
from processor.separation import loaded_model
from processor.separation.runtimes.openvino_core import convert
from tests.support import audio
from tests.support.paths import REPOSITORY
from tests.support.processor import random_checkpoints
from tests.support.processor.centre_model import write_centre_model

SEPARATE = """
import sys
from pathlib import Path
from processor.models import model_files
from processor.separation import device, loaded_model, streaming
from processor.separation.runtimes.core import Plan

name, directory, runtime, *cores = sys.argv[1:]
directory = Path(directory)
files = model_files.ensure(name, directory, fetch=False)
plan = Plan(runtime, "fp32", tuple(Path(core) for core in cores))
assert not loaded_model.uses_torch(files, device.CPU, plan)
model = loaded_model.load(files, device.CPU, plan)
streaming.separate(model, directory / "mix.wav", directory, "wav", lambda done: None, lambda: None)
print(sorted({"torch", "audio_separator.separator", "librosa", "onnx"} & sys.modules.keys()))
"""


def assert_that_neither_is_imported(directory: Path, name: str, runtime: str, *cores: Path) -> None:
    audio.write(directory / "mix.wav", audio.noise(3))
    ended = subprocess.run(
        [sys.executable, "-c", SEPARATE, name, directory, runtime, *cores],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "[]\n"
    assert (directory / "vocals.wav").stat().st_size > 1000


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_mdx(tmp_path: Path, runtime: str):
    write_centre_model(tmp_path)
    cores = [tmp_path / "centre.onnx"] if runtime == "openvino" else []
    assert_that_neither_is_imported(tmp_path, "centre", runtime, *cores)


@pytest.mark.parametrize("name", ["tiny_mdx23c", "tiny_mel_band_roformer", "tiny_demucs", "tiny_vr"])
def test_a_converted_network(tmp_path: Path, name: str):
    random_checkpoints.WRITERS[name](tmp_path)
    files = model_files.ensure(name, tmp_path, fetch=False)
    (source,) = loaded_model.architecture(files).core_sources(files)
    core = tmp_path / "core.xml"
    convert(source, core)
    assert_that_neither_is_imported(tmp_path, name, "openvino", core)
