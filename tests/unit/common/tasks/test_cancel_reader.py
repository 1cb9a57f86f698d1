"""A worker reads all cancels from the beginning, again after each failure, whatever fails."""

import threading
from types import SimpleNamespace
from uuid import UUID

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError

from common.errors import PermanentError
from common.tasks.cancel_reader import ControlReader
from common.tasks.cancels import Cancels
from common.tasks.messages import Cancel, Task
from tests.support.common.worker.fakes import FakeContext
from tests.support.waiting import wait_for

TOPIC = "control"


class FakeSource:
    """A topic in memory, two records a poll; `fails_with` is raised by the next poll."""

    def __init__(self, *records: bytes, partitions: int = 1):
        self.records, self.partitions = list(records), partitions
        self.next: dict[TopicPartition, int] = {}
        self.assigned: list[TopicPartition] = []
        self.fails_with: Exception | None = None
        self.may_poll = threading.Event()
        self.may_poll.set()
        self.closed = False

    def partitions_for_topic(self, topic):
        return set(range(self.partitions)) if topic == TOPIC else None

    def assign(self, partitions):
        self.assigned = list(partitions)

    def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions):
        return {p: len(self.records) if p.partition == 0 else 0 for p in partitions}

    def seek(self, partition, offset):
        self.next[partition] = offset

    def position(self, partition, timeout_ms):
        return self.next[partition]

    def poll(self, timeout_ms, max_records):
        self.may_poll.wait(20)
        if self.fails_with:
            error, self.fails_with = self.fails_with, None
            raise error
        first = TopicPartition(TOPIC, 0)
        found = self.records[self.next[first] : self.next[first] + 2]
        self.next[first] += len(found)
        if not found:
            threading.Event().wait(0.005)
        return {first: [SimpleNamespace(value=value) for value in found]} if found else {}

    def close(self):
        self.closed = True


def task(number: int) -> Task:
    return Task(task_uuid=UUID(int=number), audio="a", hook_url="h", submitted_at=1.0)


def cancel(number: int) -> bytes:
    return Cancel(task_uuid=UUID(int=number), run=1, requested_at=1.0).to_bytes()


def is_cancelled(cancels: Cancels, number: int) -> bool:
    try:
        with cancels.stoppable(task(number), FakeContext()):
            return False
    except PermanentError:
        return True


@pytest.fixture
def readers():
    made: list[ControlReader] = []

    def make(cancels: Cancels, *sources: FakeSource | Exception, clock=lambda: 0.0) -> ControlReader:
        left = list(sources)

        def connect() -> FakeSource:
            source = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(source, Exception):
                raise source
            return source

        made.append(ControlReader(TOPIC, cancels, connect, clock, backoff_s=0.01))
        made[-1].start()
        return made[-1]

    yield make
    for reader in made:
        reader.stop()


def test_what_was_cancelled_before_the_start_is_known_before_a_job_begins(readers):
    cancels, source = Cancels(patience_s=1000), FakeSource(*map(cancel, range(5)))
    source.may_poll.clear()
    readers(cancels, source)
    threading.Timer(0.05, source.may_poll.set).start()
    assert is_cancelled(cancels, 4)
    assert not is_cancelled(cancels, 5)


def test_what_is_cancelled_later_is_heard_of(readers):
    cancels, source = Cancels(), FakeSource()
    readers(cancels, source)
    assert not is_cancelled(cancels, 1)
    source.records.append(cancel(1))
    wait_for(lambda: is_cancelled(cancels, 1), 10, "cancel")


def test_what_is_no_cancel_is_passed_over(readers):
    cancels = Cancels(patience_s=1000)
    readers(cancels, FakeSource(b"", b"\xff", b'{"schema_version": 2}', cancel(1)))
    assert is_cancelled(cancels, 1)


def test_after_a_failure_everything_is_read_again_and_jobs_wait_for_it(readers, caplog):
    cancels, first, second = Cancels(patience_s=1000), FakeSource(cancel(1)), FakeSource(cancel(1), cancel(2))
    readers(cancels, first, KafkaConnectionError("away"), second)
    assert is_cancelled(cancels, 1)
    second.may_poll.clear()
    first.fails_with = RuntimeError("a defect")
    wait_for(lambda: first.closed, 10, "end of the first spell")
    threading.Timer(0.05, second.may_poll.set).start()
    assert is_cancelled(cancels, 2)
    lines = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [line.partition(":")[0] for line in lines] == ["cancels are not heard of"] * 2
    assert "a defect" in lines[0]
    assert "away" in lines[1]


def test_a_topic_that_is_not_there_yet_is_waited_for(readers):
    cancels, missing = Cancels(patience_s=1000), FakeSource(partitions=0)
    readers(cancels, missing, FakeSource(cancel(1)))
    assert is_cancelled(cancels, 1)
    assert missing.closed


def test_new_partitions_are_read_too(readers):
    now_s = [0.0]
    cancels, source = Cancels(), FakeSource()
    readers(cancels, source, clock=lambda: now_s[0])
    wait_for(lambda: len(source.assigned) == 1, 10, "the first spell")
    source.partitions = 2
    now_s[0] = 60.0
    wait_for(lambda: len(source.assigned) == 2, 10, "a spell with both partitions")
