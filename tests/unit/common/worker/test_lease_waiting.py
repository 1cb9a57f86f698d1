"""Leases on retry topics: a head that is not due waits, and holds up nobody else."""

from kafka.structs import OffsetAndMetadata

from common.worker.committed_state import CommittedState, Step
from common.worker.lease import Lease, NotLeased
from common.worker.lease_table import LeaseTable
from tests.support.common.worker.fakes import leased, loaded, partition, record


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def is_read(table: LeaseTable, number: int = 0) -> bool:
    return partition(number) not in table.wanted({partition(number)}).paused


def test_a_partition_whose_head_is_not_due_is_paused_until_it_is_and_others_are_not():
    clock = Clock()
    table = LeaseTable(4, clock)
    loaded(table, 0)
    loaded(table, 1)
    assert table.admit(record(0), wait_s=30) is NotLeased.NOT_YET
    assert (is_read(table, 0), is_read(table, 1)) == (False, True)
    assert leased(table, 0, 1)
    clock.now_s += 29.9
    assert not is_read(table)
    clock.now_s += 0.2
    assert is_read(table)
    assert isinstance(table.admit(record(0), wait_s=0), Lease)


def test_a_record_waits_once_whatever_the_wall_clock_says_then():
    clock = Clock()
    table = LeaseTable(4, clock)
    loaded(table)
    table.admit(record(0), wait_s=30)
    clock.now_s += 30
    assert isinstance(table.admit(record(0), wait_s=30), Lease)  # it was set back by 30 s meanwhile


def test_the_next_head_waits_for_itself():
    clock = Clock()
    table = LeaseTable(4, clock)
    loaded(table)
    table.admit(record(0), wait_s=30)
    clock.now_s += 30
    table.admit(record(0), wait_s=0)
    assert table.admit(record(1), wait_s=5) is NotLeased.NOT_YET
    assert not is_read(table)
    clock.now_s += 5
    assert is_read(table)


def test_a_crashed_record_below_a_head_that_waits_is_read_at_once_and_the_head_still_waits():
    clock = Clock()
    table = LeaseTable(4, clock)
    loaded(table)
    crashed = leased(table, 0)
    table.apply([(Step.BEGIN, crashed)])
    assert table.admit(record(1), wait_s=30) is NotLeased.NOT_YET
    table.end(crashed)
    wanted = table.wanted({partition()})
    assert (wanted.seeks, wanted.paused) == ({partition(): 0}, set())
    assert leased(table, 0)
    assert table.admit(record(1), wait_s=30) is NotLeased.NOT_YET
    assert not is_read(table)


def test_a_job_that_ends_well_does_not_wake_the_head_that_waits():
    table = LeaseTable(4, Clock())
    loaded(table)
    first = leased(table, 0)
    table.admit(record(1), wait_s=30)
    table.apply([(Step.FINISH, first)])
    table.end(first)
    assert not is_read(table)


def test_a_record_that_was_begun_before_has_waited_even_if_our_clock_says_otherwise():
    table = LeaseTable(4, Clock())
    loaded(table, committed=CommittedState(1, {0: 1}).encode())
    assert isinstance(table.admit(record(0), wait_s=30), Lease)


def test_a_due_time_does_not_survive_the_partitions_leaving():
    table = LeaseTable(4, Clock())
    loaded(table)
    table.admit(record(0), wait_s=30)
    table.drop()
    loaded(table, committed=OffsetAndMetadata(1, "", -1))  # another worker has done it meanwhile
    assert is_read(table)
    assert isinstance(table.admit(record(1)), Lease)


def test_records_that_wait_hold_neither_a_slot_nor_the_committed_offset():
    table = LeaseTable(slots=1, clock=Clock())
    assignment = loaded(table)
    loaded(table, 1)
    table.admit(record(0), wait_s=30)
    assert table.running_count == 0
    assert assignment.committed_state == CommittedState()
    assert table.all_positioned
    assert leased(table, 0, 1)
