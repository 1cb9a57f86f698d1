"""Lets preparations be short."""

from pathlib import Path

import pytest

from processor.preparation import conversion, known_song, prepare
from tests.support import audio


@pytest.fixture(scope="session")
def short_song(tmp_path_factory) -> Path:
    """The first 2 s of the known song."""
    directory = tmp_path_factory.mktemp("known-song")
    for name, samples in known_song.stems().items():
        audio.write(directory / f"{name}.flac", samples[: 2 * audio.SAMPLE_RATE], "PCM_16")
    return directory


@pytest.fixture
def one_trial(monkeypatch, short_song):
    """A short song is separated once by each plan: no test here is about how long or how well.

    Each runtime runs the networks once.
    """
    monkeypatch.setattr(conversion, "_RUNS", 1)
    monkeypatch.setattr(prepare, "_MORE_TRIALS", 0)
    monkeypatch.setattr(known_song, "_DIRECTORY", short_song)
