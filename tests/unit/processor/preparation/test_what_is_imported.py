"""A processor's start is quick because it does not import what it does not need: torch takes seconds."""

import json
import subprocess
import sys

import pytest

from processor.models import model_files
from processor.preparation import installation
from tests.support.paths import REPOSITORY
from tests.support.processor.centre_model import write_centre_model

_LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded(code: str) -> set[str]:
    """Returns the modules that a new process has loaded after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_LOADED}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_model_that_was_prepared_is_found_without_torch(tmp_path, device):
    files = model_files.ensure(write_centre_model(tmp_path), tmp_path, fetch=False)
    installation.prepare(files, device, "auto", lambda step: None)
    modules = loaded(
        "from pathlib import Path\n"
        "from processor.models import model_files\n"
        "from processor.preparation import advice, installation\n"
        f"files = model_files.ensure({files.name!r}, Path({str(tmp_path)!r}), fetch=False)\n"
        f"made = installation.prepare(files, {device!r}, 'auto', lambda step: None)\n"
        "advice.better_model(files, made)"
    )
    assert not {"torch", "openvino", "onnxruntime"} & modules
