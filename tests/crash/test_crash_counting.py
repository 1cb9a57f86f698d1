"""Songs that kill what works on them are given up; what lies behind and before them is done, and once."""

import json
from urllib.parse import urlsplit

import pytest

from tests.support import audio
from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.http_server import Connection, Request, drip, serve
from tests.support.stack import Service
from tests.support.waiting import wait_for


@pytest.fixture
def counting(stack, kafka, s3_store, model_dir):
    """One partition, so that every job lies behind those that came before it."""
    made = CrashSystem(stack, kafka.bootstrap, s3_store, model_dir, KAFKA_TOPIC_PARTITIONS="1")
    yield made
    made.close()


def song(directory, seconds: float) -> bytes:
    return audio.write(directory / f"{seconds}.wav", audio.noise(seconds), subtype="PCM_16").read_bytes()


def assert_given_up(system: CrashSystem, processor: Service, task_uuid: str) -> None:
    """After three attempts, with one result, one callback and a dead letter."""
    system.trio.wait_for_callback(task_uuid)
    system.wait_for_deliveries(task_uuid)
    assert [c.json["error_code"] for c in system.trio.callbacks(task_uuid)] == ["engine_crashed"]
    assert system.attempts(processor, task_uuid) == [1, 2, 3]
    assert len(system.records("KAFKA_RESULT_TOPIC", task_uuid)) == 1
    assert system.records("KAFKA_TASK_TOPIC", task_uuid, retries=True) == []
    (letter,) = system.records("KAFKA_DEAD_LETTER_TOPIC", task_uuid)
    assert dict(letter.headers)["uvr-error-code"] == b"engine_crashed"
    assert system.staged(task_uuid) == []


@pytest.mark.slow
def test_songs_that_kill_the_engine_are_given_up_while_the_jobs_behind_them_go_on(counting, tmp_path):
    trio = counting.trio
    trio.settings["DEADLY"] = json.dumps({"3": "SIGSEGV", "4": "SIGKILL"})
    del trio.settings["ENGINE_SLEEP_S"]  # for the product's own engine, whose process the songs kill
    trio.start("api", "uploader")
    songs = {seconds: trio.song(song(tmp_path, seconds)) for seconds in (1, 3, 4)}
    by_segfault, first, second, by_kill, third = (trio.submit(songs[s]) for s in (3, 1, 1, 4, 1))
    processor = trio.start(PROCESSOR).services["stand_in_processor"]
    for task_uuid in (first, second, third):
        counting.assert_seen_once(task_uuid)
    for task_uuid, signal_name in ((by_segfault, "SIGSEGV"), (by_kill, "SIGKILL")):
        assert_given_up(counting, processor, task_uuid)
        assert f"killed by {signal_name}" in trio.callbacks(task_uuid)[0].json["error_message"]
    # The results of one partition are in the order of their commits. The third song may come after both
    # that kill: a last attempt, which works alone, goes before jobs that have not begun.
    order = [record.key.decode() for record in counting.records_of("KAFKA_RESULT_TOPIC")]
    assert order.index(first) < order.index(by_segfault)
    assert order.index(second) < order.index(by_kill)
    assert processor.log().count("the engine ended: killed by") == 6


@pytest.mark.slow
def test_a_song_that_kills_its_worker_does_not_take_the_one_beside_it_with_it(counting, tmp_path):
    trio = counting.trio
    trio.settings["KILLING_SONG_S"] = "3"
    processor = trio.start("api", PROCESSOR, "uploader").services["stand_in_processor"]
    beside_address = trio.song(drip(song(tmp_path, 1), 3))
    killing = song(tmp_path, 3)
    fetched = []

    def once_both_are_begun(request: Request, connection: Connection) -> None:
        fetched.append(request)
        beside_path = urlsplit(beside_address).path
        trio.host.wait_for_requests(min(len(fetched), 2), 60, beside_path)
        serve(killing)(request, connection)

    beside = trio.submit(beside_address)
    deadly = trio.submit(trio.song(once_both_are_begun))
    for _ in range(3):
        counting.wait_for_end(processor)
        processor.start()
    counting.assert_seen_once(beside)
    assert_given_up(counting, processor, deadly)
    # The second death does not count against it if it waited for its host at that moment.
    assert counting.attempts(processor, beside) in ([1, 2, 2], [1, 2, 3])


@pytest.mark.slow
def test_after_a_kill_only_the_long_job_is_done_again_and_not_the_short_ones_behind_it(counting, tmp_path):
    trio = counting.trio.start("api", PROCESSOR, "uploader")
    processor = trio.services["stand_in_processor"]
    data = song(tmp_path, 1)
    killed = []

    def slow_at_first(request: Request, connection: Connection) -> None:
        (serve(data) if killed else drip(data, 120))(request, connection)

    long = trio.submit(trio.song(slow_at_first))
    wait_for(lambda: counting.attempts(processor, long), 30, "start of the long job")
    short = [trio.submit(trio.song(data)) for _ in range(4)]
    for task_uuid in short:
        counting.assert_seen_once(task_uuid)
    processor.kill()
    killed.append(True)
    processor.start()
    counting.assert_seen_once(long)
    assert counting.attempts(processor, long) == [1, 2]
    assert [counting.attempts(processor, task_uuid) for task_uuid in short] == [[1]] * 4
    assert len(counting.records_of("KAFKA_RESULT_TOPIC")) == 5
