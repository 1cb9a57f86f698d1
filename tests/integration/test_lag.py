"""`python -m common.lag` against a real broker: what waits, what runs, and no transaction markers."""

import os
import subprocess
import sys

import pytest

from common.kafka import retry_topics
from common.lag import lags
from tests.support.common.kafka.group import Lab
from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY
from tests.support.ports import take_port
from tests.support.waiting import wait_for

SLEEPER = "tests.support.common.worker.sleeper"


def test_waiting_and_running_jobs_are_counted_and_markers_are_not(kafka, stack):
    lab = Lab(kafka.bootstrap)
    lab.feed([{"i": 0, "s": 600}, {"i": 1, "s": 600}, {"i": 2, "s": 0}], partition=0)
    settings = lab.settings
    environment = {**lab.environment, "SLEEPER_LOG": str(stack.directory / "journal")}
    stack.start(SLEEPER, environment)

    def running():
        found = lags(settings, settings.kafka_group_id, (settings.kafka_task_topic,))
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
        found = lags(settings, settings.kafka_group_id, (settings.kafka_task_topic,))
        return found if [lag.waiting for lag in found] == [0, 0, 1] else None

    first, brief, waiting = wait_for(one_waits, 30, "record that waits")
    assert (first.waiting, first.running) == (0, {})
    assert brief.partition.topic == f"{settings.kafka_task_topic}_retry_{retry_topics.BRIEF_DELAY_S}s"
    assert (brief.waiting, brief.running) == (0, {})
    assert waiting.partition.topic == f"{settings.kafka_task_topic}_retry_600s"
    assert (waiting.waiting, waiting.running) == (1, {})


def test_results_behind_which_only_markers_lie_leave_nothing_waiting(kafka, stack):
    lab = Lab(kafka.bootstrap)
    lab.feed([{"i": 0, "s": 0}])
    stack.start(SLEEPER, {**lab.environment, "SLEEPER_LOG": str(stack.directory / "journal")})
    lab.wait_for_results(1)
    settings = lab.settings
    found = lags(settings, "a-group-that-has-read-nothing", (settings.kafka_result_topic,))
    assert sum(lag.waiting for lag in found) == 1


def test_the_command_prints_both_groups(kafka, stack):
    lab = Lab(kafka.bootstrap)
    lab.feed([{"i": 0, "s": 0}])
    lab.feed([{"i": 1, "s": 0}], priority=5)
    service = stack.start("common.lag", lab.environment, wait=False)
    assert service.process.wait(60) == 0
    lines = service.process.output().splitlines()
    topic = lab.settings.kafka_task_topic
    assert lines[:11] == [
        f"asking Kafka at {kafka.bootstrap}",
        f"{lab.settings.kafka_group_id}: 2 waiting, 0 running, 14 partitions",
        f"  {topic}: 1 waiting, 0 running, 2 partitions",
        "    [0]  1 waiting",
        f"  {topic}_retry_1s: 0 waiting, 0 running, 2 partitions",
        f"  {topic}_retry_2s: 0 waiting, 0 running, 2 partitions",
        f"  {topic}_p5: 1 waiting, 0 running, 2 partitions",
        "    [0]  1 waiting",
        *(f"  {topic}_p{priority}: 0 waiting, 0 running, 2 partitions" for priority in (4, 2, 1)),
    ]
    assert lines[11].startswith("uvr_uploader_group: 0 waiting")


def environ(settings: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **settings}


def test_the_command_asks_for_the_groups_of_the_settings(kafka):
    lab = Lab(kafka.bootstrap)
    env = environ({**lab.environment, "KAFKA_UPLOADER_GROUP_ID": "uploaders-of-mine"})
    command = [sys.executable, "-m", "common.lag"]
    done = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    headings = [line.partition(":")[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert headings == [lab.settings.kafka_group_id, "uploaders-of-mine"]
    assert done.stderr == f"asking Kafka at {kafka.bootstrap}\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROCESSOR_SLOTS", "0"),
        ("UPLOADER_SLOTS", "many"),
        ("KAFKA_BOOTSTRAP_SERVERS", "nowhere"),
        ("KAFKA_TOPIC_PARTITIONS", "-1"),
        ("KAFKA_SASL_PASSWORD_FILE", "/none/such"),
        ("RETRY_DELAYS_S", "3,2,1"),
    ],
)
@pytest.mark.parametrize("command", [["common.lag"], ["common.deadletter", "list"]])
def test_a_wrong_setting_is_a_line_that_names_it(command, name, value):
    done = run_forked(*command, environment=environ({name: value}))
    assert (done.returncode, done.stdout) == (64, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("cannot start: ")
    assert name in line


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_a_line():
    nobody = f"127.0.0.1:{take_port()}"
    done = run_forked("common.lag", environment=environ({"KAFKA_BOOTSTRAP_SERVERS": nobody}))
    assert (done.returncode, done.stdout) == (69, "")
    first, second = done.stderr.splitlines()
    assert first == f"asking Kafka at {nobody}"
    assert second.startswith(f"Kafka at {nobody}: ")
