"""On the CPU, MDX and converted networks are loaded and run without torch and the library's classes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.paths import REPOSITORY
from tests.support.processor.centre_model import write_centre_model
from tests.support.processor.models import converted

SEPARATE = """
import sys
from pathlib import Path
from processor.models import model_files
from processor.separation import device, loaded_model, streaming
from processor.separation.runtimes.core import Plan

name, models, directory, runtime, *cores = sys.argv[1:]
directory = Path(directory)
files = model_files.ensure(name, Path(models), fetch=False)
plan = Plan(runtime, "fp32", tuple(Path(core) for core in cores))
assert not loaded_model.uses_torch(files, device.CPU, plan)
model = loaded_model.load(files, device.CPU, plan)
streaming.separate(model, directory / "mix.wav", directory, "wav", lambda done: None, lambda: None)
print(sorted({"torch", "audio_separator.separator", "librosa", "onnx"} & sys.modules.keys()))
"""


def assert_that_neither_is_imported(
    directory: Path, name: str, models: Path, runtime: str, *cores: Path
) -> None:
    """Let a process of its own separate a song into `directory`."""
    audio.write(directory / "mix.wav", audio.noise(3))
    ended = subprocess.run(
        [sys.executable, "-c", SEPARATE, name, models, directory, runtime, *cores],
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
    assert_that_neither_is_imported(tmp_path, "centre", tmp_path, runtime, *cores)


_SLOW = ("tiny_mel_band_roformer", "tiny_demucs", "tiny_vr")


@pytest.mark.parametrize(
    "name", ["tiny_mdx23c", *(pytest.param(name, marks=pytest.mark.slow) for name in _SLOW)]
)
def test_a_converted_network(tmp_path: Path, name: str):
    files, plan = converted(name)
    assert_that_neither_is_imported(tmp_path, name, files.directory, "openvino", *plan.core_files)
