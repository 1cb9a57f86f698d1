"""Makes model directories for tests: each once for all processes of a run, with what was prepared in it.

Tests that change a directory work on a `copy`.
"""

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from processor.models import model_files
from processor.preparation import decision, machine
from tests.support.paths import REPOSITORY
from tests.support.processor import centre_model
from tests.support.processor.centre_model import write_centre_model
from tests.support.run_directory import locked, run_directory


@functools.cache
def centre_directory() -> Path:
    """Holds `centre`, and `spleeter-2stems` from the moment on when somebody needs it."""
    directory = run_directory() / "models"
    with locked("models"):
        if not directory.exists():
            write_centre_model(directory)
    return directory


@functools.cache
def spleeter_directory() -> Path:
    """Holds `spleeter-2stems`, made from the installed weights in some seconds, and `centre`."""
    directory = centre_directory()
    model_files.ensure(model_files.SPLEETER, directory, fetch=False)
    return directory


@functools.cache
def random_directory() -> Path:
    """Holds the small random networks of `random_checkpoints.WRITERS`, and a Demucs bag, `tiny_bag`."""
    from tests.support.processor import random_checkpoints  # imports torch

    directory = run_directory() / "random"
    with locked("random"):
        if not directory.exists():
            partial = directory.with_name("partial")
            partial.mkdir(exist_ok=True)
            for write in random_checkpoints.WRITERS.values():
                write(partial)
            random_checkpoints.write_demucs(partial, "tiny_bag", bag=4)
            partial.rename(directory)
    return directory


def copy_of_prepared_centre(to: Path) -> None:
    """Makes a directory `to` with `centre`, prepared for this machine: by this call if by none before."""
    source = centre_directory()
    files = model_files.ensure(centre_model.NAME, source, fetch=False)
    with locked("prepared centre"):
        if not decision.read(files, machine.cpu(), "auto"):
            environment = os.environ | {"MODEL_FILE_DIR": str(source)}
            command = [sys.executable, "-m", "processor", "models", "fetch", centre_model.NAME]
            subprocess.run(command, check=True, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL)
    copy(source, to)
    prepared = decision.directory(files).relative_to(source)
    with (source / prepared / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # nobody changes it meanwhile
        shutil.copytree(source / prepared, to / prepared)


def copy(directory: Path, to: Path) -> Path:
    """Copies the models of `directory` to `to`, which may exist; returns that.

    Leaves out `spleeter-2stems` and what was prepared: another process may be making these.
    """
    ignored = shutil.ignore_patterns("prepared", "spleeter*", ".*")
    return shutil.copytree(directory, to, ignore=ignored, dirs_exist_ok=True)
