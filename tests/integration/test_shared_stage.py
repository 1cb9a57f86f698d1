"""A processor whose stage no uploader sees takes no job, says why, and goes on once one sees it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.storage.stage import MARKER
from tests.support import audio
from tests.support.stack import Service
from tests.support.trio import Trio
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

PROCESSOR = "tests.support.processor.stand_in_processor"
PATIENCE_S = 60


@pytest.fixture
def trio(stack, kafka, s3_store, model_dir) -> Iterator[Trio]:
    trio = Trio(stack, kafka.bootstrap, s3_store, model_dir, ENGINE_SLEEP_S="0")
    yield trio
    trio.close()


@pytest.fixture
def song(tmp_path: Path) -> bytes:
    return audio.write(tmp_path / "mix.wav", audio.noise(1.0), subtype="PCM_16").read_bytes()


def stage_of(service: Service) -> dict:
    answer = service.get("/readyz")
    return {} if answer is None else answer[1]["checks"]["stage"]


def refused(service: Service) -> str:
    """Why its stage is no good, once it is not."""
    wait_for(lambda: stage_of(service).get("ok") is False, PATIENCE_S, "trouble with the stage")
    return stage_of(service)["detail"]


def test_a_second_processor_with_a_stage_of_its_own_takes_nothing_and_the_first_does_all(
    trio, song, tmp_path
):
    trio.start("api", "uploader", PROCESSOR)
    wait_for(lambda: (trio.stack.outputs / MARKER).exists(), PATIENCE_S, "the stage's marker")
    elsewhere = tmp_path / "elsewhere"
    second = trio.stack.start(PROCESSOR, {**trio.settings, "OUTPUT_DIR": str(elsewhere)}, wait=False)
    detail = refused(second)
    assert str(elsewhere) in detail
    assert trio.services["uploader"].directory.name in detail
    assert second.get("/readyz")[0] == 503
    assert detail in second.log()
    tasks = [trio.submit(trio.song(song)) for _ in range(6)]
    for task_uuid in tasks:
        assert trio.wait_for_callback(task_uuid).json["status"] == "success"
    assert "task taken" not in second.log()


@pytest.mark.slow
def test_a_processor_whose_uploader_restarts_elsewhere_holds_its_jobs_until_it_is_back(trio, song, tmp_path):
    trio.start("api", "uploader", PROCESSOR)
    processor, uploader = trio.services["stand_in_processor"], trio.services["uploader"]
    assert trio.separate(song).json["status"] == "success"
    assert uploader.stop() == 0
    other = {**trio.settings, "OUTPUT_DIR": str(tmp_path / "elsewhere")}
    other["WORKER_ID"] = uploader.directory.name
    wrong = trio.stack.start("uploader", other)
    refused(processor)
    task_uuid = trio.submit(trio.song(song))
    assert wrong.stop() == 0
    assert trio.callbacks(task_uuid) == []
    uploader.start()
    assert trio.wait_for_callback(task_uuid).json["status"] == "success"
    processor.wait_ready()


def wiped(directory: Path) -> bool:
    """Whether nothing is left of it; the services may write into it meanwhile."""
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


@pytest.mark.slow
def test_a_stage_that_is_wiped_while_all_run_is_marked_anew_and_used_again(trio, song):
    trio.start("api", "uploader", PROCESSOR)
    assert trio.separate(song).json["status"] == "success"
    before = (trio.stack.outputs / MARKER).read_text()
    wait_for(lambda: wiped(trio.stack.outputs), PATIENCE_S, "an empty place")
    refused(trio.services["stand_in_processor"])
    trio.stack.outputs.mkdir()
    assert trio.separate(song).json["status"] == "success"
    assert (trio.stack.outputs / MARKER).read_text() != before


@pytest.mark.slow
def test_a_processor_that_starts_where_no_uploader_has_ever_announced_anything_works(trio, song):
    trio.start("api", PROCESSOR)
    task_uuid = trio.submit(trio.song(song))
    processor = trio.services["stand_in_processor"]
    wait_for(lambda: f"[{task_uuid}] task taken" in processor.log(), PATIENCE_S, "the task taken")
    trio.start("uploader")
    assert trio.wait_for_callback(task_uuid).json["status"] == "success"


@pytest.mark.slow
def test_a_processor_with_a_directory_beside_an_uploader_with_the_bucket_takes_nothing_and_says_so(
    trio, song
):
    trio.settings["STAGE"] = "s3"
    trio.start("api", "uploader", PROCESSOR)
    second = trio.stack.start(PROCESSOR, {**trio.settings, "STAGE": "path"}, wait=False)
    assert "STAGE=path" in refused(second)
    tasks = [trio.submit(trio.song(song)) for _ in range(6)]
    for task_uuid in tasks:
        assert trio.wait_for_callback(task_uuid).json["status"] == "success"
    assert "task taken" not in second.log()
