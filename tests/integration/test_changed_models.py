"""A model that is changed while its processor runs gives no stems that nothing knows of."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import ErrorCode, TransientError
from processor.engine.protocol import EngineConfig
from processor.engine.room import EngineRoom
from processor.models import catalogue
from tests.support import audio
from tests.support.processor.centre_model import MODEL_DATA, write_centre_model
from tests.support.waiting import wait_for

TIMEOUT_S = 120


@pytest.fixture
def models(tmp_path) -> Path:
    directory = tmp_path / "models"
    for name, compensate in (("first", 1.0), ("second", 2.0)):
        write_centre_model(directory, name, compensate)
    return directory


@pytest.fixture
def room(models) -> Iterator[EngineRoom]:
    room = EngineRoom(EngineConfig("first", models, device="cpu", more_models=("second",), warm_models=1))
    room.start()
    try:
        wait_for(lambda: room.state().ok, TIMEOUT_S, "the engine")
        yield room
    finally:
        room.stop()


@pytest.fixture
def separate(room, tmp_path) -> Callable[[str], set[str]]:
    song = audio.write(tmp_path / "song.wav", audio.noise(1))

    def separate(model: str) -> set[str]:
        target = Path(tempfile.mkdtemp(dir=tmp_path))
        return set(room.separate(song, target, lambda: None, lambda fraction: None, model).stems)

    return separate


def change(models: Path, name: str, stem: str) -> None:
    path = models / f"{name}.onnx"
    kept = catalogue.parameters(models, path, "MDX")
    catalogue.replace_parameters(models, catalogue.model_hash(path), "MDX", {**kept, "primary_stem": stem})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first", "second"])
def test_a_model_that_was_changed_after_its_installation_is_not_used_until_the_change_is_taken_back(
    room, models, separate, name
):
    if name == "second":
        assert separate("second") == separate("first") == {"vocals", "instrumental"}
    change(models, name, "Drums")
    assert not room.is_outdated
    if name == "first":
        os.kill(room.pid, signal.SIGKILL)
        wait_for(lambda: room.is_outdated, TIMEOUT_S, "the next process")
    with pytest.raises(TransientError, match=f"the model {name} was changed .*: restart the proc") as caught:
        separate(name)
    assert caught.value.code == ErrorCode.ENGINE_UNAVAILABLE
    assert (room.state().ok, room.is_outdated) == (False, True)
    assert f"the model {name} was changed after its installation" in room.state().detail
    change(models, name, MODEL_DATA["primary_stem"])
    wait_for(lambda: room.state().ok and not room.is_outdated, TIMEOUT_S, "the engine")
    assert separate(name) == set(room.stems_of(name))
