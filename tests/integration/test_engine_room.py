"""Several models are warm at once; the least recently used one ends, and no model harms another's jobs."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from common.errors import ErrorCode, PermanentError, TransientError, UnlikelyError
from processor.engine.protocol import EngineConfig, Separation
from processor.engine.room import EngineRoom
from processor.presets.chain import Chain
from processor.presets.recipe import Recipe, Step
from tests.support import audio
from tests.support.processor.models import centre_directory, copy
from tests.support.waiting import wait_for

START_TIMEOUT_S = 120
COPIES = ("second", "third")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """The model `centre` under three names."""
    directory = copy(centre_directory(), tmp_path_factory.mktemp("models"))
    for name in COPIES:
        shutil.copy(directory / "centre.onnx", directory / f"{name}.onnx")
    return directory


def no_progress(fraction: float) -> None:
    pass


class House:
    """A room whose songs are short. `struck` counts the kernel's kills for want of memory."""

    def __init__(self, models: Path, directory: Path, warm_models: int):
        self.struck: list[bool] = []
        config = EngineConfig(
            "centre", models, device="cpu", fetch_model=False, more_models=COPIES, warm_models=warm_models
        )
        self.room = EngineRoom(config, lambda: len(self.struck))
        self._directory, self._count = directory, 0
        self._song = audio.write(directory / "song.wav", audio.noise(1))

        # Long enough that the engine is at work when its first progress is read.
        self.long = audio.write(directory / "long.wav", audio.long_noise(120))

    def separate(
        self, model: str | None = None, on_progress: Callable[[float], None] | None = None
    ) -> Separation:
        self._count += 1
        target = self._directory / str(self._count)
        target.mkdir()
        try:
            song = self.long if on_progress else self._song
            return self.room.separate(song, target, lambda: None, on_progress or no_progress, model)
        except Exception:  # whatever the room raises, it leaves nothing behind
            assert not list(target.iterdir())
            raise


@pytest.fixture
def open_room(models, tmp_path) -> Iterator[Callable[[int], House]]:
    houses: list[House] = []

    def open_room(warm_models: int) -> House:
        houses.append(House(models, tmp_path, warm_models))
        houses[-1].room.start()
        assert houses[-1].room.wait_ready(START_TIMEOUT_S).ok
        return houses[-1]

    yield open_room
    for house in houses:
        house.room.stop()


@pytest.mark.slow
def test_two_models_stay_warm_and_a_third_ends_the_one_that_was_used_least_recently(open_room):
    house = open_room(2)
    assert house.separate("second").model == "second"
    assert house.separate().model == "centre"
    pid = house.room.pid
    assert house.room.warm == ("second", "centre")
    assert house.room.state().detail == "second on cpu, centre on cpu"
    assert house.separate("third.onnx").model == "third"
    assert house.room.warm == ("centre", "third")
    house.separate()
    assert house.room.pid == pid
    with pytest.raises(PermanentError, match="no model fourth here") as caught:
        house.separate("fourth")
    assert (caught.value.code, "centre, second, third" in str(caught.value)) == (
        ErrorCode.MODEL_UNKNOWN,
        True,
    )


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_fails_its_job_and_the_default_one_comes_back(open_room, models):
    house = open_room(1)
    whole = (models / "third.onnx").read_bytes()
    (models / "third.onnx").write_bytes(whole[:5000])
    try:
        with pytest.raises(UnlikelyError, match="The model third cannot be loaded: ") as caught:
            house.separate("third")
    finally:
        (models / "third.onnx").write_bytes(whole)
    assert caught.value.code == ErrorCode.MODEL_UNKNOWN
    assert house.separate().model == "centre"
    assert house.separate("third").model == "third"


@pytest.mark.slow
def test_memory_that_runs_out_ends_another_model_and_then_fails_the_job(open_room):
    house = open_room(2)

    def kill(fraction: float) -> None:
        if len(house.struck) < 2:
            house.struck.append(True)
            os.kill(house.room.pid, signal.SIGKILL)

    house.struck.append(True)  # only one kill is left
    assert house.separate("second", kill).stems
    assert house.room.warm == ("second",)
    house.struck.clear()
    house.struck.append(True)
    with pytest.raises(TransientError, match="Memory ran out") as caught:
        house.separate("second", kill)
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY
    wait_for(lambda: house.room.warm == ("second",), START_TIMEOUT_S, "the next process")


@pytest.mark.slow
def test_a_chain_goes_on_from_its_first_step_when_the_engine_is_killed_in_the_second(open_room, tmp_path):
    house = open_room(2)
    directory = tmp_path / "chain"
    directory.mkdir()
    killed: list[int] = []

    def kill_in_the_second_step(fraction: float) -> None:
        if fraction > 0.5 and not killed:
            killed.append(house.room.pid)
            os.kill(house.room.pid, signal.SIGKILL)

    steps = (Step(("centre",), stems=("vocals",)), Step(("second",), on="vocals", stems=("vocals",)))
    chain = Chain(house.room, Recipe(steps), house.long, directory, lambda: None, kill_in_the_second_step)
    result = chain.run()
    assert [used.name for used in result.used] == ["centre", "second"]
    assert soundfile.info(result.stems.paths["vocals"]).frames == soundfile.info(house.long).frames
    assert killed[0] != house.room.pid


@pytest.mark.slow
def test_a_model_that_cannot_be_fetched_keeps_the_room_from_being_ready(models, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    room = EngineRoom(EngineConfig("centre", models, device="cpu", more_models=("away",)))
    room.start()
    try:
        wait_for(lambda: "model away cannot be fetched" in room.state().detail, START_TIMEOUT_S, "reason")
        assert not room.state().ok
        assert [installed.name for installed in room.installed] == ["centre"]
    finally:
        room.stop()
