"""A test that was collected and did not run makes the run red."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

_TESTS = "def test_one(): pass\n\n\ndef test_two(): pass\n"
_TWO_OF_ONE_ID = """
import pytest

class Test(pytest.Item):
    def runtest(self): pass

class Twice(pytest.File):
    def collect(self): return [Test.from_parent(self, name="test") for _ in range(2)]

def pytest_collect_file(file_path, parent):
    return Twice.from_parent(parent, path=file_path) if file_path.name == "conftest.py" else None
"""
_SWALLOWS_ONE = "def pytest_runtest_protocol(item): return item.name == 'test_two' or None\n"


def run(directory: Path, conftest: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(_TESTS)
    (directory / "conftest.py").write_text(conftest)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    # Without the other plugins, which take seconds to import.
    environment |= {"PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugins = ["-p", "tests.support.complete_run", "-p", "xdist.plugin", "-c", "/dev/null"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "test_it.py", "conftest.py", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param((), id="one process"),
        pytest.param(("-n", "2"), id="two processes", marks=pytest.mark.slow),
    ],
)
def test_a_run_of_all_tests_is_green(tmp_path, mode):
    done = run(tmp_path, "", *mode)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.parametrize(
    ("conftest", "mode", "missing"),
    [
        (_SWALLOWS_ONE, (), {"test_it.py::test_two"}),
        (
            _TWO_OF_ONE_ID + _SWALLOWS_ONE,
            ("-n", "2", "--dist", "loadfile"),
            {"test_it.py::test_two", "conftest.py::test"},
        ),
    ],
    ids=["swallowed", "swallowed by one of two processes, and two of one id"],
)
def test_a_run_that_leaves_a_test_out_is_red_and_names_it(tmp_path, conftest, mode, missing):
    done = run(tmp_path, conftest, *mode)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert f"{len(missing)} collected tests did not run" in done.stdout
    assert missing <= set(done.stdout.splitlines())


def test_looking_at_the_collection_alone_is_green(tmp_path):
    assert run(tmp_path, "", "--collect-only").returncode == 0
