import pytest

from bench.architectures import ARCHITECTURES
from tests.support.processor.real_checkpoints import REAL


def test_every_architecture_has_a_network_and_a_song():
    assert set(ARCHITECTURES) == set(REAL)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_library_runs_no_network_less_often_than_the_engine(name):
    architecture = ARCHITECTURES[name]
    for song in (architecture.song, architecture.quick_song):
        assert architecture.runs_per_s(True, song) >= architecture.runs_per_s(False, song) > 0
