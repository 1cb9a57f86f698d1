"""One processor, two models: choices per task, results that say what was used, and its announcements."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import soundfile
from kafka import KafkaConsumer, KafkaProducer

from common import __version__
from common.storage.stage import LocalStage
from common.tasks.messages import Task, WorkerSeen, decode_result, decode_worker_seen
from common.tasks.messages.choices import Choices
from common.tasks.messages.result import Result
from tests.support import audio
from tests.support.api.api_process import api_settings
from tests.support.http_server import ScriptedServer, serve
from tests.support.processor.centre_model import write_centre_model
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

PATIENCE_S = 120
PRESET = """
[chain]
description = "Both models, then the second on the vocals."
[[chain.steps]]
models = ["centre", "second"]
ensemble = "avg_wave"
stems = ["vocals"]
[[chain.steps]]
models = ["second"]
on = "vocals"
stems = ["vocals", "instrumental"]
"""


class House:
    """A processor without api and uploader: tasks go in by hand, and results and announcements are read."""

    def __init__(self, stack: Stack, bootstrap: str, directory: Path, host: ScriptedServer):
        self._stack, self._host = stack, host
        tag = uuid4().hex[:8]
        models = directory / "models"
        for name in ("centre", "second"):
            write_centre_model(models, name)
        (directory / "presets.toml").write_text(PRESET)
        self.settings = api_settings(
            bootstrap,
            MODEL_FILE_DIR=str(models),
            MODEL_NAME="centre",
            MODELS="second",
            PRESETS_FILE=str(directory / "presets.toml"),
            DEVICE="cpu",
            TRUSTED_URL_PREFIXES=host.origin,
            KAFKA_MODELS_TOPIC=f"models-{tag}",
            KAFKA_PROCESSOR_GROUP_ID=f"processor-{tag}",
        )
        self.song = audio.write(directory / "song.wav", audio.noise(1), "PCM_16", 48000)
        host.on("/song.wav", serve(self.song.read_bytes()))

    def start(self, module: str, wait: bool = True, **settings: str) -> Service:
        return self._stack.start(module, {**self.settings, **settings}, wait=wait, timeout_s=PATIENCE_S)

    def submit(self, **choices) -> None:
        task = Task(
            task_uuid=uuid4(),
            audio=f"{self._host.url}/song.wav",
            submitted_at=time.time(),
            choices=Choices(**choices) if choices else None,
        )
        producer = KafkaProducer(bootstrap_servers=self.settings["KAFKA_BOOTSTRAP_SERVERS"], acks="all")
        with contextlib.closing(producer):
            producer.send(self.settings["KAFKA_TASK_TOPIC"], task.to_bytes(), key=b"k").get(timeout=30)

    def results(self, count: int) -> list[Result]:
        return self._records("KAFKA_RESULT_TOPIC", decode_result, lambda found: len(found) == count)

    def announced(self, ready: Callable[[list[WorkerSeen]], bool]) -> list[WorkerSeen]:
        return self._records("KAFKA_MODELS_TOPIC", decode_worker_seen, ready)

    def _records(self, setting: str, decode, ready) -> list:
        consumer = KafkaConsumer(
            self.settings[setting],
            bootstrap_servers=self.settings["KAFKA_BOOTSTRAP_SERVERS"],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            group_id=None,
            isolation_level="read_committed",
        )
        found: list = []

        def poll() -> bool:
            for records in consumer.poll(200).values():
                found.extend(decode(record.value) for record in records)
            return ready(found)

        try:
            wait_for(poll, PATIENCE_S, f"records of {setting}")
        finally:
            consumer.close()
        return found


def warm(seen: WorkerSeen) -> set[str]:
    return {model.name for model in seen.models if model.is_warm}


@pytest.fixture
def house(stack, kafka, tmp_path) -> Iterator[House]:
    with ScriptedServer() as host:
        yield House(stack, kafka.bootstrap, tmp_path, host)


@pytest.mark.slow
def test_each_task_gets_the_models_stems_and_output_of_its_choice(house: House, stack: Stack):
    processor = house.start("processor")
    chosen = [
        {},
        {"model": "second", "stems": ("vocals",)},
        {"preset": "chain", "output": {"format": "wav", "bit_depth": 24, "sample_rate": "source"}},
        {
            "models": ("centre", "second"),
            "ensemble": "max_fft",
            "stems": ("instrumental",),
            "start_s": 0.25,
            "duration_s": 0.5,
        },
        {"model": "third"},
        {"preset": "best"},
    ]
    for choices in chosen:
        house.submit(**choices)
    by_choice = {
        result.choices.model_dump_json(exclude_none=True) if result.choices else "": result
        for result in house.results(len(chosen))
    }
    plain, second, chain, ensemble, unknown, away = (
        by_choice[Choices(**choices).model_dump_json(exclude_none=True) if choices else ""]
        for choices in chosen
    )
    stage = LocalStage(stack.outputs)
    assert (plain.model, [*plain.stems], plain.version) == ("centre", ["vocals", "instrumental"], __version__)
    assert (plain.models[0].name, len(plain.models[0].sha256), plain.output.bit_depth) == ("centre", 64, 16)
    assert (second.model, [*second.stems]) == ("second", ["vocals"])
    assert [model.name for model in chain.models] == ["centre", "second", "second"]
    assert (chain.output.sample_rate_hz, chain.output.bit_depth) == (48000, 24)
    stems = {name: soundfile.info(stage.path(stem.key)) for name, stem in chain.stems.items()}
    assert {(stem.frames, stem.samplerate, stem.subtype) for stem in stems.values()} == {
        (soundfile.info(house.song).frames, 48000, "PCM_24")
    }
    assert {*stems} == {"vocals", "instrumental"}
    assert (ensemble.model, [*ensemble.stems]) == ("centre, second", ["instrumental"])
    assert ensemble.stems["instrumental"].duration_s == 0.5
    assert (unknown.error_code, away.error_code) == ("model_unknown", "preset_unknown")
    assert "There are: centre, second" in unknown.error_message
    assert "There are: chain" in away.error_message
    house.announced(lambda found: any(warm(seen) == {"centre", "second"} for seen in found))
    assert processor.stop() == 0
    *earlier, last = house.announced(lambda found: bool(found) and found[-1].stopped)
    assert not any(seen.stopped for seen in earlier)
    assert [(model.name, model.stems) for model in last.models] == [
        ("centre", ("vocals", "instrumental")),
        ("second", ("vocals", "instrumental")),
    ]
    assert all(model.speed for model in last.models)
    assert ([preset.name for preset in last.presets], last.default_model) == (["chain"], "centre")


def test_the_announcement_of_a_killed_processor_does_not_say_that_it_has_stopped(house: House):
    processor = house.start("tests.support.processor.stand_in_processor", ENGINE_SLEEP_S="0")
    (seen,) = house.announced(lambda found: bool(found))[:1]
    processor.kill()
    again = house.announced(lambda found: bool(found))
    assert {each.stopped for each in again} == {False}
    assert {each.worker_id for each in again} == {seen.worker_id} == {processor.directory.name}


def test_a_file_of_presets_that_is_wrong_stops_the_start_with_its_place(house: House):
    Path(house.settings["PRESETS_FILE"]).write_text(PRESET.replace('"avg_wave"', '"loudest"'))
    processor = house.start("processor", wait=False)
    assert processor.process.wait(PATIENCE_S) == 64
    output = processor.process.output()
    assert "presets.toml, preset chain: step 1, ensemble: Input should be 'avg_wave'" in output
