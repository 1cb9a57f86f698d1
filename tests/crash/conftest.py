"""What the crash tests of several modules need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.crash import CrashSystem


@pytest.fixture
def song(tmp_path: Path) -> bytes:
    return audio.write(tmp_path / "mix.wav", audio.noise(2.0), subtype="PCM_16").read_bytes()


@pytest.fixture(scope="module")
def system(module_stack, kafka, s3_store, model_dir) -> Iterator[CrashSystem]:
    """Nothing of it runs yet."""
    made = CrashSystem(module_stack, kafka.bootstrap, s3_store, model_dir)
    yield made
    made.close()
