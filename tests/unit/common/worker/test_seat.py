"""A job that only waits for a host or a receiver: others work meanwhile, and no death is held against it."""

import threading

import pytest
from kafka import TopicPartition

from common.errors import Cancelled
from common.jobs.outcome import Done
from common.kafka.records import Message
from common.worker import committed_state
from common.worker.committed_state import CommittedState
from common.worker.quarantine import Quarantine
from tests.support.common.worker.fakes import TOPIC, FakeHandler, leased
from tests.support.common.worker.job_harness import Desk
from tests.support.common.worker.worker_harness import WorkerHarness
from tests.support.waiting import wait_for

RESULT = Message("results", b"k", b"done")


class Two:
    """A worker with a record that waits aside until `go_on`, and one behind it; `begun`: earlier begins."""

    def __init__(self, begun: dict[int, int], slots: int = 2):
        self.go_on, self.order = threading.Event(), []
        self.harness = WorkerHarness(self._run, log=[b"0", b"1"], slots=slots)
        self.harness.worker._leases.quarantine = Quarantine(aside_patience_s=0.1, tick_s=0.005)
        self.partition = TopicPartition(TOPIC, 0)
        self.harness.broker.offsets[self.partition] = CommittedState(2, begun).encode()

    def _run(self, record, context):
        self.order.append(f"begin {record.value.decode()}")
        if record.value == b"0":
            context.leave_slot()
            self.order.append("aside 0")
            assert self.go_on.wait(20)
            context.regain_slot()
        self.order.append(f"end {record.value.decode()}")
        return Done((Message("results", b"k", record.value),))

    def committed(self) -> CommittedState:
        return committed_state.decode(self.harness.broker.offsets[self.partition])

    def run(self) -> None:
        running = self.harness.start()
        # With two slots the second job may end before the first one has stepped aside.
        wait_for(lambda: {"aside 0", "end 1"} <= {*self.order}, 20, "the second job's end")
        self.while_aside = self.committed()
        self.go_on.set()
        self.harness.wait_for_results(2)
        self.harness.worker.stop()
        running.result()


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("begun", [{0: 0, 1: 0}, {0: 0, 1: 2}, {0: 2, 1: 2}], ids=str)
def test_others_work_meanwhile_those_on_their_last_attempt_too(begun, slots):
    two = Two(begun, slots)
    two.run()
    assert two.order.index("end 1") < two.order.index("end 0")


@pytest.mark.parametrize(("before", "meanwhile"), [(0, 1), (1, 1), (2, 2)])
def test_a_death_meanwhile_counts_once_at_most(before, meanwhile):
    two = Two({0: before, 1: 0})
    two.run()
    assert (two.while_aside.attempts(0), two.while_aside.counted_attempts(0)) == (before + 1, meanwhile)
    assert two.committed().offset == 2


def test_a_job_that_works_again_counts_again():
    desk, seen = Desk(attempts_before=1), []

    def run(record, context):
        seen.append(desk.assignment.committed_state.counted_attempts(0))
        context.leave_slot()
        seen.append(desk.assignment.committed_state.counted_attempts(0))
        context.regain_slot()
        seen.append(desk.assignment.committed_state.counted_attempts(0))
        assert desk.assignment.committed_state.attempts(0) == context.attempt == 2  # it is the same one
        return Done((RESULT,))

    assert desk.run(FakeHandler(run)) == [RESULT]
    assert seen == [2, 1, 2]
    assert desk.done


def test_a_job_that_is_stopped_while_it_waits_for_its_slot_drops_its_work():
    desk = Desk()

    def run(record, context):
        context.leave_slot()
        desk.table.cancel_all()
        context.regain_slot()
        return Done((RESULT,))

    assert desk.run(FakeHandler(run)) == []
    assert desk.assignment.committed_state.counted_attempts(0) == 0


def test_a_job_that_no_longer_asks_for_its_slot_keeps_it_from_nobody():
    """A cancelled job may then work at its end for long: its transaction waits for Kafka."""
    desk, seen = Desk(), []

    def check() -> None:
        raise Cancelled

    def run(record, context):
        context.leave_slot()
        others = [leased(desk.table, offset) for offset in (1, 2)]
        with pytest.raises(Cancelled):
            context.regain_slot(check)
        for lease in others:
            desk.table.leave_slot(lease)
        seen.append([desk.table.regain_slot(lease) for lease in others])
        for lease in others:
            desk.table.end(lease)
        return Done((RESULT,))

    assert desk.run(FakeHandler(run)) == [RESULT]
    assert seen == [[True, True]]


def test_a_job_that_waits_for_its_slot_hears_what_its_own_check_says():
    desk, raised = Desk(), []

    def check() -> None:
        raise Cancelled("its own")

    def run(record, context):
        context.leave_slot()
        others = [leased(desk.table, offset) for offset in (1, 2)]
        assert desk.table.slots_full
        try:
            context.regain_slot(check)
        except Cancelled as error:
            raised.append(str(error))
        for lease in others:
            desk.table.end(lease)
        return Done((RESULT,))

    assert desk.run(FakeHandler(run)) == [RESULT]
    assert raised == ["its own"]
