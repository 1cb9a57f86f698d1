"""`/metrics` of the real services: a song's way in numbers, and every metric that an alert asks for."""

import re
import urllib.request

import pytest

from common.kafka import lanes
from common.worker.metrics import AttemptResult
from processor.metrics import Phase
from tests.support import audio
from tests.support.common.kafka.group import Lab
from tests.support.common.observability.exposition import Exposition
from tests.support.deploy.alerts import rules, selectors
from tests.support.stack import Service
from tests.support.trio import Trio
from tests.support.waiting import wait_for

SERVICES = ("api", "processor", "uploader")


def shown(service: Service) -> Exposition:
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=20) as answer:
        return Exposition(answer.read().decode())


@pytest.fixture(scope="module")
def trio(module_stack, kafka, s3_store, model_dir):
    trio = Trio(module_stack, kafka.bootstrap, s3_store, model_dir, MODEL_NAME="centre")
    try:
        yield trio.start()
    finally:
        trio.close()


@pytest.fixture(scope="module")
def after_a_song(trio: Trio, tmp_path_factory) -> dict[str, Exposition]:
    """What the services show once a song of two seconds has gone its way, under the request id `song-1`."""
    path = audio.write(tmp_path_factory.mktemp("song") / "mix.wav", audio.noise(2))
    task = trio.submit(trio.song(path.read_bytes()), headers={"X-Request-Id": "song-1"})
    trio.wait_for_callback(task)

    def all_done() -> dict[str, Exposition] | None:
        found = {name: shown(trio.services[name]) for name in SERVICES}
        done = found["uploader"].value("uvr_jobs_total", outcome="succeeded")
        lag = sum(found[name].value("uvr_consumer_lag_records") for name in SERVICES)
        # Workers are asked now and then, so this may come a moment later.
        ready = all(found[name].value("uvr_ready") for name in SERVICES)
        return found if done and not lag and ready else None

    return wait_for(all_done, 30, "end of the job, and of the lag")


def test_the_api_has_counted_the_task(after_a_song):
    api = after_a_song["api"]
    assert api.value("uvr_tasks_queued_total") == 1
    assert api.value("uvr_http_requests_total", route="/generate", status="200") == 1


def test_the_processor_has_counted_and_timed_the_job(after_a_song):
    processor = after_a_song["processor"]
    assert processor.value("uvr_jobs_total") == 1
    assert processor.value("uvr_jobs_total", outcome="succeeded") == 1
    for phase in Phase:
        assert processor.value("uvr_phase_seconds_count", phase=phase) == 1
        assert processor.value("uvr_phase_seconds_sum", phase=phase) > 0
    assert processor.value("uvr_separated_audio_seconds_total") == pytest.approx(2, abs=0.01)
    assert processor.value("uvr_separation_speed_ratio_count") == 1
    busy_s = processor.value("uvr_engine_busy_seconds_total")
    assert busy_s >= processor.value("uvr_phase_seconds_sum", phase="separate") > 0


def test_the_uploader_has_counted_and_timed_the_job(after_a_song):
    uploader = after_a_song["uploader"]
    assert uploader.value("uvr_callbacks_total", **{"class": "2xx"}) == 1
    assert uploader.value("uvr_callbacks_total") == 1
    assert uploader.value("uvr_phase_seconds_count", phase="upload") == 1
    assert uploader.value("uvr_phase_seconds_count", phase="callback") == 1


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_ready_and_shows_its_process(after_a_song, name):
    assert after_a_song[name].labels("uvr_ready") == [{"service": name}]
    assert after_a_song[name].value("uvr_ready") == 1
    assert after_a_song[name].value("process_resident_memory_bytes") > 0


def test_disks_are_those_that_a_service_writes_to(after_a_song):
    directories = {
        name: {labels["directory"] for labels in after_a_song[name].labels("uvr_disk_free_bytes")}
        for name in SERVICES
    }
    assert directories == {"api": {"view"}, "processor": {"temp", "output"}, "uploader": {"output"}}


def test_lag_is_shown_for_each_topic_that_is_read(trio: Trio, after_a_song):
    for name, base in (("processor", "KAFKA_TASK_TOPIC"), ("uploader", "KAFKA_RESULT_TOPIC")):
        topics = {labels["topic"] for labels in after_a_song[name].labels("uvr_consumer_lag_records")}
        base = trio.settings[base]
        own = lanes.topics(base) if name == "processor" else (base,)
        assert topics == {*own, f"{base}_retry_1s", f"{base}_retry_2s"}


def test_no_label_has_a_value_of_the_task(trio: Trio, after_a_song):
    for name in SERVICES:
        text = after_a_song[name].text
        assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", text)
        for private in ("song-1", "admin", "http://", "mix.wav"):
            assert private not in text


@pytest.mark.parametrize("name", SERVICES)
def test_the_requests_id_is_in_the_log_of_every_service(trio: Trio, after_a_song, name):
    assert " request_id=song-1\n" in trio.services[name].log()


@pytest.mark.parametrize("alert", rules())
def test_an_alert_asks_for_metrics_and_labels_that_exist(after_a_song, alert):
    for selector in selectors(rules()[alert]["expr"]):
        holders = [found for found in after_a_song.values() if selector.name in found.series]
        assert holders, f"nobody shows {selector.name}"
        labels = [labels for found in holders for labels in found.labels(selector.name)]
        for name, value in selector.matchers.items():
            assert any(name in found for found in labels), f"{selector.name} has no label {name}"
            if name in ("service", "outcome"):
                assert any(re.fullmatch(value, found[name]) for found in labels), f"{name} is never {value}"


def test_what_fails_is_counted_by_what_became_of_it_and_no_marker_is_left_as_lag(kafka, stack):
    lab = Lab(kafka.bootstrap, partitions=1, delays_s=(1,))
    lab.feed([{"i": 0, "s": 0, "fail": 1}, b"not JSON", {"i": 1, "s": 0, "fail": 2}])
    environment = {**lab.environment, "SLEEPER_LOG": str(stack.directory / "journal"), "PROCESSOR_SLOTS": "1"}
    sleeper = stack.start("tests.support.common.worker.sleeper", environment)
    lab.wait_for_results(2)

    def settled() -> Exposition | None:
        found = shown(sleeper)
        ended = found.value("uvr_jobs_total") - found.value("uvr_jobs_total", outcome="retried")
        return found if ended == 3 and not found.value("uvr_consumer_lag_records") else None

    found = wait_for(settled, 30, "three records that are over, and no lag")
    assert {end: found.value("uvr_jobs_total", outcome=end) for end in AttemptResult} == {
        AttemptResult.SUCCEEDED: 1,
        AttemptResult.FAILED: 1,
        AttemptResult.UNWANTED: 0,
        AttemptResult.RETRIED: 2,
        AttemptResult.DEFERRED: 0,
        AttemptResult.PUT_ASIDE: 1,
        AttemptResult.DROPPED: 0,
    }
    assert found.value("uvr_retries_total", code="network_error") == 2
    assert found.value("uvr_dead_letters_total", code="invalid_message") == 1
    assert found.value("uvr_dead_letters_total", code="network_error") == 1
