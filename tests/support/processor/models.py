"""Makes model directories for tests, each once per test session."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from processor.models import model_files
from tests.support.processor import random_checkpoints
from tests.support.processor.centre_model import write_centre_model


@functools.cache
def spleeter_directory() -> Path:
    """Holds `spleeter-2stems`; made from the installed weights, in some seconds."""
    directory = _temporary_directory()
    model_files.ensure(model_files.SPLEETER, directory, fetch=False)
    return directory


@functools.cache
def centre_directory() -> Path:
    """Holds `centre`."""
    directory = _temporary_directory()
    write_centre_model(directory)
    return directory


@functools.cache
def random_directory() -> Path:
    """Holds the small random networks of `random_checkpoints.WRITERS`, and a Demucs bag, `tiny_bag`."""
    directory = _temporary_directory()
    for write in random_checkpoints.WRITERS.values():
        write(directory)
    random_checkpoints.write_demucs(directory, "tiny_bag", bag=4)
    return directory


def _temporary_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="uvr-test-models-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory
