"""`python -m common.deadletter` as a process against a real broker."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterable
from uuid import UUID

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaError

from common.deadletter.dead_letter import LetterId
from common.deadletter.mailbox import Mailbox
from common.deadletter.marks import ReplayMark
from common.deadletter.replayer import Overtaken, publisher
from common.deadletter.topic_reader import records
from common.kafka import clients
from common.kafka.records import Message
from common.tasks.messages import Redelivery, Separated, Task
from tests.support.common.deadletter.dead_letters import (  # fmt: skip
    ONE,
    OTHER,
    command,
    environ,
    failed,
    letter,
    redelivery,
    run_command,
    separated,
    task,
)
from tests.support.common.kafka.group import Lab
from tests.support.ports import take_port

pytestmark = pytest.mark.network


def post(lab: Lab, messages: Iterable[Message]) -> list[LetterId]:
    """Writes them one after the other, as somebody who knows nothing of transactions."""
    producer = KafkaProducer(bootstrap_servers=lab.settings.kafka_bootstrap_servers, acks="all")
    with contextlib.closing(producer):
        found = []
        for m in messages:
            sent = producer.send(m.topic, m.value, m.key, headers=list(m.headers)).get(timeout=30)
            found.append(LetterId(sent.partition, sent.offset))
        return found


def dead(lab: Lab, message: Task | Separated | Redelivery | bytes, **fields) -> Message:
    """A letter to this lab's topic."""
    s = lab.settings
    origin = s.kafka_task_topic if isinstance(message, Task | bytes) else s.kafka_result_topic
    value = message if isinstance(message, bytes) else message.to_bytes()
    return letter(value, origin, s.kafka_dead_letter_topic, **fields)


def listed(lab: Lab, *arguments: str) -> list[str]:
    """The ids of the letters that `list` tells, in its order."""
    done = run_command(lab.environment, "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines() if line.startswith("{")]


def runs(lab: Lab, topic: str) -> list[tuple[UUID, int]]:
    fields = [json.loads(record.value) for record in lab.records(topic)]
    return [(UUID(f["task_uuid"]), f["run"]) for f in fields]


def ends(lab: Lab) -> dict[str, int]:
    s = lab.settings
    topics = (s.kafka_task_topic, s.kafka_result_topic, s.kafka_dead_letter_topic)
    return {topic: len(lab.records(topic)) for topic in topics}


def test_letters_are_listed_newest_first_and_found_by_task_time_and_code(lab):
    first, second, third = post(
        lab,
        [dead(lab, task()), dead(lab, b"\xff", code="invalid_message"), dead(lab, separated(OTHER))],
    )
    done = run_command(lab.environment, "list")
    assert done.returncode == 0, done.stderr
    heading, *lines = done.stdout.splitlines()
    assert heading.startswith("WHEN")
    assert [line.split()[1] for line in lines] == [str(third), str(second), str(first)]
    assert listed(lab, "--task", str(ONE), "--since", "1h") == [str(first)]
    assert listed(lab, "--code", "invalid_message") == [str(second)]
    assert listed(lab, "--since", "2099-01-01") == []


def test_show_tells_all_of_a_letter_and_says_when_there_is_none(lab):
    (found,) = post(lab, [dead(lab, task(), reason="HTTP error: 503")])
    done = run_command(lab.environment, "show", str(found))
    assert done.returncode == 0, done.stderr
    assert "http_error: HTTP error: 503" in done.stdout
    assert '"audio": "https://example.com/a.mp3"' in done.stdout
    done = run_command(lab.environment, "show", "0/99999")
    assert (done.returncode, done.stdout) == (1, "there is no letter 0/99999\n")


def test_a_redelivery_is_replayed_as_it_was_and_once(lab):
    (found,) = post(lab, [dead(lab, redelivery(run=2), code="callback_failed")])
    by_task, topic = ("replay", "--task", str(ONE)), lab.settings.kafka_result_topic
    done = run_command(lab.environment, *by_task)
    assert f"{found}: redelivery {ONE} replayed to {topic} as run 2" in done.stdout, done.stderr
    (record,) = lab.records(topic)
    assert Redelivery.model_validate_json(record.value) == redelivery(run=2)
    assert "already replayed as run 2" in run_command(lab.environment, *by_task).stdout
    assert listed(lab) == []


@pytest.mark.slow
def test_a_replay_by_task_publishes_the_next_run_once(lab):
    found, _ = post(lab, [dead(lab, task(), headers=[("trace", b"7")]), dead(lab, task(OTHER))])
    by_task = "replay", "--task", str(ONE)
    done = run_command(lab.environment, *by_task)
    assert done.returncode == 0, done.stderr
    assert f"{found}: task {ONE} replayed to {lab.settings.kafka_task_topic} as run 2" in done.stdout
    (record,) = lab.records(lab.settings.kafka_task_topic)
    assert (record.key, record.headers) == (b"k", [("trace", b"7")])
    assert Task.model_validate_json(record.value) == task(run=2)

    done = run_command(lab.environment, *by_task)
    assert (done.returncode, done.stdout.split(" (")[0]) == (0, f"{found}: already replayed as run 2")
    assert len(lab.records(lab.settings.kafka_task_topic)) == 1
    assert str(found) not in listed(lab)
    assert str(found) in listed(lab, "--all")

    done = run_command(lab.environment, *by_task, "--again")
    assert done.returncode == 0, done.stderr
    assert runs(lab, lab.settings.kafka_task_topic) == [(ONE, 2), (ONE, 3)]


def test_a_replay_says_that_a_later_run_has_succeeded(lab):
    (found,) = post(lab, [dead(lab, task())])
    run_command(lab.environment, "replay", str(found))
    post(lab, [Message(lab.settings.kafka_result_topic, b"k", separated(run=2).to_bytes())])
    done = run_command(lab.environment, "replay", str(found), "--again")
    assert "as run 3, although run 2 has succeeded" in done.stdout


def test_a_replay_by_time_takes_one_letter_a_task_and_tells_of_the_rest(lab):
    old, new, _, poison = post(
        lab, [dead(lab, task()), dead(lab, separated()), dead(lab, failed(OTHER)), dead(lab, b"\xff")]
    )
    done = run_command(lab.environment, "replay", "--since", "1h")
    assert done.returncode == 0, done.stderr
    assert f"{old}: left: {new} is of the same task" in done.stdout
    assert f"{poison}: cannot be replayed" in done.stdout
    assert lab.records(lab.settings.kafka_task_topic) == []
    assert sorted(runs(lab, lab.settings.kafka_result_topic)) == [(ONE, 2), (OTHER, 2)]
    assert listed(lab) == [str(poison)]
    assert "no dead letters match" in run_command(lab.environment, "replay", "--since", "2099-01-01").stdout


def test_a_dry_run_tells_the_same_and_changes_nothing(lab):
    found, _ = post(lab, [dead(lab, task()), dead(lab, b"\xff")])
    before = ends(lab)
    done = run_command(lab.environment, "replay", "--since", "1h", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"{found}: task {ONE} would be replayed to {lab.settings.kafka_task_topic} as run 2" in done.stdout
    assert ends(lab) == before
    assert "replayed to" in run_command(lab.environment, "replay", str(found)).stdout


def test_where_nothing_could_be_replayed_the_exit_code_says_so(lab):
    (poison,) = post(lab, [dead(lab, b"\xff", code="invalid_message", reason="not JSON")])
    done = run_command(lab.environment, "replay", str(poison), "0/99999")
    assert done.returncode == 1
    assert f"{poison}: cannot be replayed: it holds no message that could be done (not JSON)" in done.stdout
    assert "0/99999: there is no such letter" in done.stdout
    assert run_command(lab.environment, "replay", str(poison), "--task", str(ONE)).returncode == 2


def test_a_message_and_its_mark_are_there_together_or_not_at_all(lab):
    topic = lab.settings.kafka_task_topic
    with publisher(lab.settings) as publish, pytest.raises(KafkaError):
        publish([Message(topic, b"k", b"v"), Message(topic, b"k", b"x" * 2_000_000)])
    with publisher(lab.settings) as publish:
        publish([Message(topic, b"k", b"after")])
    assert [record.value for record in lab.records(topic)] == [b"after"]


def test_a_replay_that_another_has_overtaken_publishes_nothing_more(lab):
    message = Message(lab.settings.kafka_task_topic, b"k", b"v")
    with publisher(lab.settings) as first:
        first([message])
        with publisher(lab.settings), pytest.raises(Overtaken):
            first([message])
    assert len(lab.records(message.topic)) == 1


def test_a_mark_behind_a_workers_open_transaction_is_waited_for(lab, closing):
    """Else a second replay would not see what the first has done."""
    topic, waited = lab.settings.kafka_dead_letter_topic, threading.Event()
    worker = closing(clients.transactional_producer(lab.settings, "w1", transaction_timeout_ms=60000))
    worker.begin_transaction()
    sent = worker.send(topic, task(OTHER).to_bytes(), b"k").get(timeout=30)
    mark = ReplayMark(LetterId(0, 0), ONE, 2).message(topic, b"k")
    assert post(lab, [mark])[0].partition == sent.partition

    looks: list[None] = []

    def clock() -> float:
        looks.append(None)
        if len(looks) > 2:
            waited.set()
        return 0.0

    found: list[Mailbox] = []
    reader = threading.Thread(
        target=lambda: found.append(Mailbox.of(records(lab.settings, topic, clock=clock), lab.settings))
    )
    reader.start()
    assert waited.wait(60)
    worker.commit_transaction()
    reader.join(60)
    assert found[0].runs == {OTHER: 1, ONE: 2}


@pytest.mark.slow
def test_replays_that_are_killed_or_run_side_by_side_replay_each_letter_once(lab):
    tasks = [UUID(int=n) for n in range(1, 151)]
    post(lab, [dead(lab, task(uuid)) for uuid in tasks])
    everything = command("replay", "--since", "1h")
    with subprocess.Popen(everything, env=environ(lab.environment), stdout=subprocess.PIPE) as killed:
        for _ in range(20):
            killed.stdout.readline()
        killed.kill()
    side_by_side = [
        subprocess.Popen(everything, env=environ(lab.environment), stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert {process.wait(60) for process in side_by_side} <= {0, 75}
    assert run_command(lab.environment, "replay", "--since", "1h").returncode == 0
    assert sorted(runs(lab, lab.settings.kafka_task_topic)) == [(uuid, 2) for uuid in tasks]


def test_a_reader_that_goes_away_is_no_error(lab):
    post(lab, [dead(lab, task(), reason="r" * 2000) for _ in range(60)])
    process = subprocess.Popen(
        command("list"), env=environ(lab.environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read().decode() == f"asking Kafka at {lab.settings.kafka_bootstrap_servers}\n"
        assert process.wait(60) == 141


@pytest.mark.slow
def test_without_letters_there_is_a_sentence(lab):
    done = run_command(lab.environment, "list")
    assert (done.returncode, done.stdout) == (0, "no dead letters\n")
    never_made = {**lab.environment, "KAFKA_DEAD_LETTER_TOPIC": "never-made"}
    assert run_command(never_made, "list").stdout == "no dead letters\n"


@pytest.mark.slow
def test_kafka_that_cannot_be_reached_and_wrong_settings_have_exit_codes_of_their_own(lab):
    nobody = f"127.0.0.1:{take_port()}"
    done = run_command({**lab.environment, "KAFKA_BOOTSTRAP_SERVERS": nobody}, "list")
    assert (done.returncode, done.stdout) == (69, "")
    first, second = done.stderr.splitlines()
    assert first == f"asking Kafka at {nobody}"
    assert second.startswith(f"Kafka at {nobody}: ")
    done = run_command({**lab.environment, "KAFKA_BOOTSTRAP_SERVERS": "nonsense"}, "list")
    assert done.returncode == 64
    assert "KAFKA_BOOTSTRAP_SERVERS" in done.stderr
