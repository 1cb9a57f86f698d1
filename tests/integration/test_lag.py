"""`python -m common.lag` against a real broker: what waits, what runs, and no transaction markers."""

from common import retry
from common.lag import lags
from tests.support.group import Lab
from tests.support.waiting import wait_for

SLEEPER = "tests.support.sleeper"


def test_waiting_and_running_jobs_are_counted_and_markers_are_not(kafka, stack):
    lab = Lab(kafka.bootstrap)
    lab.feed([{"i": 0, "s": 600}, {"i": 1, "s": 600}, {"i": 2, "s": 0}], partition=0)
    settings = lab.settings
    environment = {**lab.environment, "SLEEPER_LOG": str(stack.directory / "journal")}
    stack.start(SLEEPER, environment)

    def running():
        found = lags(settings, settings.kafka_group_id, settings.kafka_task_topic)
        return found if len(found[0].running) == 2 else None

    first, second, *retries = wait_for(running, 30, "two running jobs")
    assert first.running == {0: 1, 1: 1}
    assert first.waiting == 1
    assert (second.waiting, second.running) == (0, {})
    assert {lag.partition.topic for lag in retries} == {
        f"{settings.kafka_task_topic}_retry_{delay_s}s" for delay_s in settings.retry_delays_s
    }
    assert all((lag.waiting, lag.running) == (0, {}) for lag in retries)


def test_records_that_wait_for_their_next_try_are_seen_in_their_topic(kafka, stack):
    lab = Lab(kafka.bootstrap, partitions=1, delays_s=(600,))
    lab.feed([{"i": 0, "s": 0, "fail": 1}, {"i": 1, "s": 0}])
    stack.start(SLEEPER, {**lab.environment, "SLEEPER_LOG": str(stack.directory / "journal")})
    lab.wait_for_results(1)
    settings = lab.settings

    def one_waits():
        found = lags(settings, settings.kafka_group_id, settings.kafka_task_topic)
        return found if [lag.waiting for lag in found] == [0, 0, 1] else None

    first, brief, waiting = wait_for(one_waits, 30, "record that waits")
    assert (first.waiting, first.running) == (0, {})
    assert brief.partition.topic == f"{settings.kafka_task_topic}_retry_{retry.BRIEF_DELAY_S}s"
    assert (brief.waiting, brief.running) == (0, {})
    assert waiting.partition.topic == f"{settings.kafka_task_topic}_retry_600s"
    assert (waiting.waiting, waiting.running) == (1, {})


def test_results_behind_which_only_markers_lie_leave_nothing_waiting(kafka, stack):
    lab = Lab(kafka.bootstrap)
    lab.feed([{"i": 0, "s": 0}])
    stack.start(SLEEPER, {**lab.environment, "SLEEPER_LOG": str(stack.directory / "journal")})
    lab.wait_for_results(1)
    settings = lab.settings
    found = lags(settings, "a-group-that-has-read-nothing", settings.kafka_result_topic)
    assert sum(lag.waiting for lag in found) == 1


def test_the_command_prints_both_groups(kafka, stack):
    lab = Lab(kafka.bootstrap)
    lab.feed([{"i": 0, "s": 0}])
    service = stack.start("common.lag", lab.environment, wait=False)
    assert service.process.wait(60) == 0
    lines = service.process.output().splitlines()
    topic = lab.settings.kafka_task_topic
    assert lines[:5] == [
        f"{lab.settings.kafka_group_id}: 1 waiting, 0 running, 6 partitions",
        f"  {topic}: 1 waiting, 0 running, 2 partitions",
        "    [0]  1 waiting",
        f"  {topic}_retry_1s: 0 waiting, 0 running, 2 partitions",
        f"  {topic}_retry_2s: 0 waiting, 0 running, 2 partitions",
    ]
    assert lines[5].startswith("uvr_uploader_group: 0 waiting")
