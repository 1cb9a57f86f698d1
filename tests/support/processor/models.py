"""Makes model directories for tests: each once for all processes of a run, with what was prepared in it.

Tests that change a directory work on a `copy`.
"""

import functools
import shutil
from pathlib import Path

from local.private_files import make_private
from processor.models import model_files
from processor.models.model_files import ModelFiles
from processor.separation import loaded_model
from processor.separation.runtimes.core import Plan
from tests.support.forked_command import run_forked
from tests.support.processor.centre_model import NAME, write_centre_model
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
            random_checkpoints.write_demucs(partial, "tiny_bag", bag=2)
            partial.rename(directory)
    return directory


@functools.cache
def converted(name: str) -> tuple[ModelFiles, Plan]:
    """Returns a model of `random_directory`, and the plan by which OpenVINO computes it.

    Its networks are converted where an installation keeps them, which takes seconds: an engine that is
    prepared afterwards finds them.
    """
    from processor.preparation import conversion, prepare  # imports torch

    files = model_files.ensure(name, random_directory(), fetch=False)
    with prepare._lock(files, lambda step: None):
        sources = loaded_model.architecture(files).core_sources(files)
        cores = tuple(conversion._core_file(files, source, number) for number, source in enumerate(sources))
    return files, Plan("openvino", "fp32", cores)


def copy(directory: Path, to: Path) -> Path:
    """Copies the models of `directory` to `to`, which may exist; returns that.

    Leaves out `spleeter-2stems` and what was prepared: another process may be making these.
    """
    ignored = shutil.ignore_patterns("prepared", "spleeter*", ".*")
    return shutil.copytree(directory, to, ignore=ignored, dirs_exist_ok=True)


def copy_prepared_centre(to: Path) -> str:
    """Puts `centre`, with what is prepared for it on a CPU, into `to`, for its owner alone. Returns its name.

    To prepare a model takes 6 s of CPU.
    """
    directory = centre_directory()
    settings = {"MODEL_FILE_DIR": str(directory), "DEVICE": "cpu"}
    fetched = run_forked("processor", "models", "fetch", NAME, environment=settings)
    assert fetched.returncode == 0, fetched
    copy(directory, to)
    for prepared in (directory / "prepared").glob(f"{NAME}.*"):
        shutil.copytree(prepared, to / "prepared" / prepared.name)
    make_private(to)
    return NAME
