"""A directory that cannot be used stops the start, with the exit code on which no supervisor tries again."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from common.settings.exit_codes import EXIT_BAD_SETTINGS
from common.settings.loading import exit_if_unusable
from tests.support.forked_command import run_forked


def start(service: str, directory: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs the service to its end. It must not get as far as Kafka: at that address nothing answers."""
    environment = {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HEALTH_PORT": "0",
        "S3_BUCKET_NAME": "stems",
        **{name: str(directory / name) for name in ("LOG_DIR", "TEMP_DIR", "OUTPUT_DIR")},
    }
    return run_forked(service, environment=environment | settings)


@pytest.mark.parametrize(
    ("service", "setting"),
    [
        ("api", "LOG_DIR"),
        ("processor", "LOG_DIR"),
        ("processor", "TEMP_DIR"),
        ("processor", "OUTPUT_DIR"),
        ("uploader", "LOG_DIR"),
        ("uploader", "OUTPUT_DIR"),
    ],
)
def test_a_directory_that_cannot_be_made_is_named_in_one_line(tmp_path, service, setting):
    (tmp_path / "file").touch()
    wrong = tmp_path / "file" / "below"
    done = start(service, tmp_path, **{setting: str(wrong)})
    assert done.returncode == EXIT_BAD_SETTINGS, done.stderr
    assert done.stderr.splitlines() == [f"cannot start: {setting} {wrong}: Not a directory"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_wrong_setting(number):
    with pytest.raises(SystemExit) as caught, exit_if_unusable("LOG_DIR", Path("logs")):
        raise OSError(number, os.strerror(number))
    # a text is printed, and 1 is the exit code
    assert caught.value.code == f"cannot start: LOG_DIR logs: {os.strerror(number)}"
