"""A job's progress goes out rarely, never falls, never blocks the job, and never follows its end."""

import json
import threading
from uuid import uuid4

import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from common.kafka.records import Message
from common.tasks import messages
from common.tasks.job_status import Statuses
from common.tasks.messages import Separated, State, Task
from common.tasks.status_outbox import KafkaOutbox
from tests.support.common.worker.fakes import MemoryOutbox
from tests.support.waiting import wait_for

TASK = Task(task_uuid=uuid4(), audio="a", hook_url="h", submitted_at=1.0, user="alice")


class Sending:
    """A producer that keeps the sent values. The next sends raise or report `errors`."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.raises: list[Exception] = []
        self.reports: list[Exception] = []
        self.closed = False

    def send(self, topic, key, value):
        if self.raises:
            raise self.raises.pop()
        self.values.append(value)
        return self

    def add_errback(self, errback):
        if self.reports:
            errback(self.reports.pop())

    def add_both(self, both):
        both(self)

    def close(self, timeout):
        self.closed = True


def message(text: str) -> Message:
    return Message("status", b"k", text.encode())


@pytest.fixture
def outboxes():
    made: list[KafkaOutbox] = []

    def make(connect, clock=lambda: 0.0) -> KafkaOutbox:
        made.append(KafkaOutbox(connect, clock))
        made[-1].start()
        return made[-1]

    yield make
    for outbox in made:
        outbox.stop()


def test_progress_is_that_of_the_run_and_never_goes_back():
    outbox = MemoryOutbox()
    with Statuses("status", outbox, lambda: 5.0).job(TASK, (1,), 2) as status:
        for state in (State.DOWNLOADING, State.PREPARING, State.SEPARATING, State.UPLOADING):
            status.enter(state)
            for fraction in (0.0, 0.5, 0.25, 2.0, 1.0):
                status.advance(fraction)
    statuses = outbox.statuses
    progress = [s.progress for s in statuses]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0.0, 0.99)
    assert {s.state for s in statuses} == {
        State.DOWNLOADING,
        State.PREPARING,
        State.SEPARATING,
        State.UPLOADING,
    }
    assert {(s.user, s.submitted_at, s.tries, s.attempt) for s in statuses} == {("alice", 1.0, (1,), 2)}
    assert statuses[-1].times.keys() == {State.QUEUED, *(s.state for s in statuses)}
    assert outbox.dropped == [status]


def test_statuses_name_the_worker_of_the_job():
    outbox = MemoryOutbox()
    status = Statuses("status", outbox, lambda: 5.0, "gpu-1").job(TASK)
    status.enter(State.SEPARATING)
    (sent,) = outbox.statuses
    assert sent.worker_id == "gpu-1"
    earlier = json.loads(outbox.sent[0].value)
    del earlier["worker_id"]
    assert messages.decode_status(json.dumps(earlier).encode()).worker_id is None


def test_a_download_of_many_pieces_makes_few_statuses():
    outbox = MemoryOutbox()
    status = Statuses("status", outbox, lambda: 5.0).job(TASK)
    status.enter(State.DOWNLOADING)
    for piece in range(100_000):
        status.advance(piece / 100_000)
    assert len(outbox.sent) < 200


def test_what_passes_has_another_key_than_what_lasts():
    outbox = MemoryOutbox()
    status = Statuses("status", outbox, lambda: 5.0).job(TASK)
    status.enter(State.SEPARATING)
    # Compaction keeps the last record of each key: late progress must not replace the end.
    assert outbox.sent[0].key != status.ended(State.FAILED).key == str(TASK.task_uuid).encode()


def test_the_latest_of_a_job_goes_out_once_a_second(outboxes):
    producer, now_s = Sending(), [100.0]
    outbox = outboxes(lambda: producer, lambda: now_s[0])
    outbox.put("job", message("1"))
    wait_for(lambda: producer.values == [b"1"], 10, "first status")
    outbox.put("job", message("2"))
    outbox.put("job", message("3"))
    outbox.put("other", message("4"))
    wait_for(lambda: producer.values == [b"1", b"4"], 10, "another job's status")
    now_s[0] += 1.0
    outbox.put("third", message("5"))
    wait_for(lambda: producer.values == [b"1", b"4", b"3", b"5"], 10, "the job's latest")


def test_a_flush_waits_for_what_is_not_due_yet(outboxes):
    producer, now_s = Sending(), [100.0]
    outbox = outboxes(lambda: producer, lambda: now_s[0])
    outbox.put("job", message("1"))
    assert outbox.flush(10)
    outbox.put("job", message("2"))
    assert not outbox.flush(0.05)
    now_s[0] += 1.0
    outbox.put("other", message("3"))
    assert outbox.flush(10)
    assert producer.values == [b"1", b"2", b"3"]


def test_nothing_goes_out_after_the_jobs_end(outboxes):
    producer, now_s = Sending(), [100.0]
    outbox = outboxes(lambda: producer, lambda: now_s[0])
    outbox.put("job", message("1"))
    wait_for(lambda: producer.values == [b"1"], 10, "first status")
    outbox.put("job", message("late"))
    outbox.drop("job")
    now_s[0] += 1.0
    outbox.put("other", message("2"))
    wait_for(lambda: producer.values == [b"1", b"2"], 10, "another job's status")


def test_a_producer_that_hangs_holds_nobody_up(outboxes):
    connecting, go_on = threading.Event(), threading.Event()

    def hang():
        connecting.set()
        go_on.wait(20)
        raise KafkaConnectionError

    outbox = outboxes(hang)
    outbox.put("job", message("1"))
    assert connecting.wait(10)
    for number in range(10_000):
        outbox.put("job", message(str(number)))
    outbox.drop("job")
    go_on.set()


@pytest.mark.parametrize("how", ["raises", "reports"])
def test_after_an_error_another_producer_sends_the_next(outboxes, how):
    first, second = Sending(), Sending()
    getattr(first, how).append(KafkaTimeoutError("no"))
    producers, now_s = [second, first], [0.0]
    outbox = outboxes(producers.pop, lambda: now_s[0])
    outbox.put("job", message("1"))
    wait_for(lambda: (how == "reports" and first.values) or first.closed, 10, "the error")
    now_s[0] += 1.0
    outbox.put("job", message("2"))
    wait_for(lambda: second.values == [b"2"], 10, "the next status")
    assert first.closed


def test_begins_that_were_handed_back_are_told_beside_all_begins():
    statuses = Statuses("status", MemoryOutbox(), lambda: 5.0)
    status = messages.decode_status(statuses.job(TASK, (), 5, 4).ended(State.UPLOADING).value)
    assert (status.attempt, status.handed_back) == (5, 4)


def test_what_is_accounted_goes_from_the_result_into_each_status_and_an_older_result_has_none():
    given = {"task_uuid": TASK.task_uuid, "submitted_at": 1.0, "finished_at": 9.0, "stems": {}}
    statuses = Statuses("status", MemoryOutbox(), lambda: 10.0)
    for counted in ({"audio_s": 240.0, "engine_s": 31.5}, {}):
        result = Separated(**given, model="m", device="cpu", **counted)
        ended = messages.decode_status(statuses.job(result).ended(State.SUCCEEDED).value)
        assert (ended.audio_s, ended.engine_s) == (counted.get("audio_s"), counted.get("engine_s"))
