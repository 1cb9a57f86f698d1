"""A service refuses an argument that it does not know, and does not start."""

import subprocess
from pathlib import Path

import pytest

from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY


def run(service: str, argument: str, directory: Path) -> subprocess.CompletedProcess[str]:
    # Should the service start anyway, this setting ends it: it must not wait for Kafka.
    environment = {"PYTHONPATH": str(REPOSITORY), "LOG_LEVEL": "wrong"}
    return run_forked(service, argument, environment=environment, directory=directory)


@pytest.mark.parametrize(
    ("service", "argument"),
    [("api", "hash-pasword"), ("processor", "model"), ("uploader", "--verbose"), ("uploader", "")],
)
def test_an_unknown_argument_is_wrong_usage(tmp_path, service, argument):
    done = run(service, argument, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"usage: python -m {service}")


@pytest.mark.parametrize(
    ("service", "argument"), [("api", "--help"), ("processor", "-h"), ("uploader", "--help")]
)
def test_help_is_the_usage_on_standard_output(tmp_path, service, argument):
    done = run(service, argument, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"usage: python -m {service}")
