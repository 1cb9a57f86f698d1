"""Partitions with running jobs that are wanted elsewhere: what is told, and when they go."""

import pytest
from kafka import TopicPartition

from common.worker.handover import Handover
from common.worker.lease import Lease, NotLeased
from common.worker.lease_table import LeaseTable
from tests.support.common.worker.fakes import leased, loaded, partition, record
from tests.support.waiting import wait_for


class Member:
    """The consumer's side: whether it joins, and how often it was asked to."""

    def __init__(self) -> None:
        self.joining = False
        self.asked = self.looks = 0
        self.waiting: set[TopicPartition] = set()

    def is_joining(self) -> bool:
        return self.joining

    def rejoin(self) -> None:
        self.asked += 1

    def look_for_ends(self, timeout_ms: int) -> None:
        self.looks += 1

    def unread(self) -> set[TopicPartition]:
        return self.waiting


class Harness:
    """Three partitions of one worker, by a clock that `now_s` sets."""

    def __init__(self, longest_s: float = 3600, leaves: bool = True, slots: int = 8):
        self.now_s = 100.0
        self.table = LeaseTable(slots)
        for number in range(3):
            loaded(self.table, number)
        self.handover = Handover(self.table, longest_s, leaves, lambda: self.now_s)
        self.member = Member()

    def busy(self) -> list[int]:
        return [p.partition for p in self.handover.needs(set()).busy]

    def drain(self, *numbers: int) -> None:
        self.handover.drain({partition(number) for number in numbers})

    def asked_after(self, seconds: float) -> int:
        """How often it has asked once `seconds` more have passed, in ticks of 100 ms."""
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            self.handover.watch(self.member)
        return self.member.asked

    def end(self, lease: Lease) -> None:
        lease.assignment.committed_state = lease.assignment.committed_state.finished(lease.offset)
        self.table.end(lease)


def test_partitions_whose_records_are_worked_on_are_busy_and_no_others():
    b = Harness()
    lease = leased(b.table, 0, 1)
    assert b.busy() == [1]
    b.end(lease)
    assert b.busy() == []


def test_what_ends_with_its_lease_is_not_busy_though_its_thread_still_runs():
    b = Harness()
    leased(b.table, 0, 1)
    b.table.drop([partition(1)])
    assert b.busy() == []


def test_nothing_is_begun_on_what_another_is_to_have_until_it_is_not_wanted_any_more():
    b = Harness()
    leased(b.table, 0, 1)
    b.drain(1)
    assert b.table.admit(record(1, 1)) is NotLeased.NOT_YET
    assert b.table.wanted({partition(n) for n in range(3)}).paused == {partition(1)}
    b.drain()
    assert b.table.wanted({partition(n) for n in range(3)}).paused == set()
    assert leased(b.table, 1, 1)


def test_what_waits_is_told_though_it_was_not_known_when_another_joined():
    b = Harness(slots=1)
    leased(b.table, 0, 0)
    b.handover.needs(set())
    b.member.waiting = {partition(1)}
    assert b.asked_after(30) == 0  # nobody has joined
    b.table.drop([partition(2)])
    assert b.asked_after(3) == 1
    b.handover.needs(b.member.waiting)
    assert b.asked_after(30) == 1
    b.member.waiting = {partition(0), partition(1)}
    assert b.asked_after(30) == 1


def test_a_loss_in_the_first_moments_and_in_a_rejoin_is_noticed():
    b = Harness(slots=1)
    leased(b.table, 0, 0)
    b.handover.needs(set())
    b.drain()
    assert b.asked_after(0.1) == 0
    b.member.joining = True
    b.table.drop([partition(2)])
    assert b.asked_after(0.5) == 0
    b.member.joining, b.member.waiting = False, {partition(1)}
    assert b.asked_after(3) == 1


def test_what_waits_for_a_free_slot_of_this_worker_moves_nothing():
    b = Harness(slots=2)
    leased(b.table, 0, 0)
    b.handover.needs(set())
    b.table.drop([partition(2)])
    b.member.waiting = {partition(1)}
    assert b.asked_after(30) == 0


def test_it_asks_once_it_is_idle_and_once_a_second_at_most():
    b = Harness()
    leases = [leased(b.table, 0, n) for n in range(3)]
    b.drain(1)
    assert b.asked_after(30) == 0
    b.end(leases[1])
    assert b.asked_after(0.1) == 1
    assert b.asked_after(0.8) == 1  # the answer has not come
    assert b.asked_after(10) <= 11


def test_another_partition_of_the_topic_that_is_idle_is_given_in_its_place():
    b = Harness()
    leases = [leased(b.table, 0, n) for n in range(3)]
    b.drain(1)
    assert b.asked_after(5) == 0
    b.end(leases[0])
    assert b.asked_after(0.1) == 1
    assert b.busy() == [1, 2]


def test_it_does_not_ask_within_a_second_of_an_assignment_nor_while_one_is_under_way():
    b = Harness()
    b.drain(1)
    assert b.asked_after(0.9) == 0
    b.member.joining = True
    assert b.asked_after(5) == 0


def test_where_nothing_is_to_be_given_up_it_never_asks():
    b = Harness()
    b.end(leased(b.table, 0))
    b.drain()
    assert b.asked_after(60) == 0


def test_what_is_to_go_the_longest_is_named_first():
    b = Harness()
    for number in range(3):
        leased(b.table, 0, number)
    b.drain(2)
    b.now_s += 1
    b.drain(2, 1)
    assert b.busy() == [2, 1, 0]


def test_after_the_longest_time_it_is_busy_no_more_and_goes():
    b = Harness(longest_s=60)
    for number in range(3):
        leased(b.table, 0, number)
    b.drain(1)
    assert b.asked_after(59) == 0
    b.drain(1, 2)  # another assignment does not begin the time anew
    assert b.asked_after(2) == 1
    assert b.busy() == [2, 0]


def test_with_no_time_at_all_nothing_is_busy():
    b = Harness(longest_s=0)
    leased(b.table, 0)
    assert b.busy() == []
    b.table.drain()
    assert not b.handover.needs(set()).leaves
    assert b.asked_after(10) == 0


def test_one_that_stops_gives_up_what_is_idle_if_its_jobs_take_longer_than_a_second():
    b = Harness()
    lease = leased(b.table, 0)
    b.now_s += 100
    b.table.drain()
    assert b.asked_after(0.9) == 0
    assert b.asked_after(0.3) == 1
    assert b.handover.needs(set()).leaves
    assert b.asked_after(10) == 1
    b.end(lease)
    assert b.handover.needs(set()).leaves


@pytest.mark.parametrize("leaves", [True, False])
def test_one_that_stops_without_jobs_or_comes_back_asks_for_nothing(leaves):
    b = Harness(leaves=leaves)
    if not leaves:
        leased(b.table, 0)
    b.table.drain()
    assert b.asked_after(10) == 0
    assert b.handover.needs(set()).leaves is leaves


def test_with_full_slots_it_looks_for_what_waits_elsewhere_and_not_otherwise():
    b = Harness()
    leases = [leased(b.table, offset) for offset in range(7)]
    b.asked_after(10)
    assert b.member.looks == 0
    leases.append(leased(b.table, 7))
    b.asked_after(2)
    wait_for(lambda: b.member.looks == 1, 20, "a look")
    b.end(leases[0])
    b.asked_after(10)
    assert b.member.looks == 1
