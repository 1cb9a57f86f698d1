"""Places: whom they are given to, in which order, and who waits for them without holding up others."""

import json

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from common.jobs.lanes import NO_TICKET, Ticket
from common.jobs.outcome import Deferred, Done
from common.jobs.places import Claim, Limits
from common.kafka.records import Message
from common.worker.committed_state import Step
from common.worker.lane_choice import MOST_STARTS
from common.worker.lease import MOST_OPEN, Lease, NotLeased
from common.worker.lease_table import LeaseTable
from common.worker.waiting_room import HeldPlace, PlaceRules, WaitingRoom
from tests.support.common.worker.fakes import TOPIC, admitted, leased, loaded, partition, record
from tests.support.common.worker.worker_harness import WorkerHarness
from tests.support.waiting import wait_for

HOST = ("host", "a.example:443")


class Room:
    """A waiting room whose jobs are noted and go on until `end`."""

    def __init__(self, limits: Limits):
        self.table = LeaseTable(slots=4)
        loaded(self.table)
        self.room = WaitingRoom(limits, self._start)
        self.started: list[int] = []
        self.draining = False
        self._offsets = iter(range(1000))

    def _start(self, lease: Lease, claim: Claim) -> bool:
        if self.draining:
            return False
        self.started.append(lease.offset)
        return True

    def enter(self, claim: Claim, ticket: Ticket = NO_TICKET) -> int:
        """The offset of a record that waits for this place."""
        offset = next(self._offsets)
        lease = admitted(self.table, offset, ticket=ticket)
        assert self.table.begin(lease)
        self.table.set_aside(lease)
        self.room.enter(lease, claim)
        return offset


def test_each_user_and_each_host_has_at_most_its_number_of_places():
    r = Room(Limits(total=4, per_user=2, per_key={"host": 3}))
    a, b, c = Claim("a", (HOST,)), Claim("b", (HOST,)), Claim("c")
    assert [r.room.take(claim) for claim in (a, a, a)] == [True, True, False]
    assert [r.room.take(claim) for claim in (b, b)] == [True, False]  # the host has three
    assert [r.room.take(claim) for claim in (c, c)] == [True, False]  # four in all
    r.room.give_back(a)
    assert r.room.take(b)


def test_who_waits_is_started_when_the_place_is_free_and_is_not_overtaken():
    r = Room(Limits(per_user=1))
    a = Claim("a")
    assert r.room.take(a)
    first, second = r.enter(a), r.enter(a)
    assert r.started == []
    r.room.give_back(a)
    assert r.started == [first]
    assert not r.room.take(a)
    r.room.give_back(a)
    assert r.started == [first, second]


def test_what_cannot_be_started_holds_up_nobody_behind_it():
    r = Room(Limits(per_user=1))
    a, b = Claim("a"), Claim("b")
    assert r.room.take(a)
    r.enter(a)
    assert r.room.take(b)
    waiting = r.enter(b)
    r.room.give_back(b)
    assert r.started == [waiting]


def test_what_waits_on_a_partition_that_is_to_go_elsewhere_is_left_to_who_reads_it_next():
    table = LeaseTable(slots=4)
    loaded(table)
    lease = leased(table, 3)
    table.set_aside(lease)
    table.hold_back({partition()})
    assert not table.resume(lease)
    assert table.wanted({partition()}).seeks == {partition(): 3}
    table.hold_back(set())
    assert isinstance(table.admit(record(3)), Lease)


def test_what_waits_is_not_begun_while_its_worker_may_begin_nothing_and_is_read_again_then():
    table = LeaseTable(slots=4)
    loaded(table)
    lease = leased(table, 3)
    table.set_aside(lease)
    table.pause(True)
    assert not table.resume(lease)
    assert table.wanted({partition()}).seeks == {partition(): 3}
    table.pause(False)
    assert isinstance(table.admit(record(3)), Lease)


def test_of_several_users_the_one_with_the_fewest_places_is_next():
    r = Room(Limits(total=3))
    a, b = Claim("a"), Claim("b")
    assert all(r.room.take(a) for _ in range(3))
    r.enter(a)
    late = r.enter(b)
    r.room.give_back(a)
    assert r.started == [late]


@pytest.mark.parametrize("lanes", [(1,), (1, 2), (1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("per_user", [1, 2])
def test_a_users_urgent_songs_pass_each_that_waits_for_a_place_thirty_times_at_most(per_user, lanes):
    r = Room(Limits(total=4, per_user=per_user))
    a = Claim("a")
    for _ in range(per_user):
        assert r.room.take(a)
    slow = {r.enter(a, Ticket(priority, "a")): priority for priority in lanes}
    r.enter(a, Ticket(5, "a"))
    for _ in range(40):  # each download that ends lets one song begin, and one more urgent song comes
        r.room.give_back(a)
        r.enter(a, Ticket(5, "a"))
    assert r.started[0] not in slow
    turns = {slow[offset]: turn for turn, offset in enumerate(r.started, 1) if offset in slow}
    assert set(turns) == set(lanes)
    assert turns[1] <= MOST_STARTS


def test_users_songs_are_counted_apart_and_only_while_they_wait():
    r = Room(Limits(total=1))
    for user in map(str, range(50)):
        assert r.room.take(Claim(user))
        r.enter(Claim(user), Ticket(1, user))
        r.enter(Claim(user), Ticket(5, user))
        for _ in range(3):
            r.room.give_back(Claim(user))
    assert r.room.count == 0
    assert not r.room._choices


def test_a_place_of_a_lease_that_has_ended_goes_to_the_next():
    r = Room(Limits(per_user=1))
    a = Claim("a")
    assert r.room.take(a)
    r.enter(a)
    r.table.drop()
    assert r.room.count == 0
    loaded(r.table)
    waiting = r.enter(a)
    r.room.give_back(a)
    assert r.started == [waiting]


def test_a_worker_that_stops_starts_nobody_and_keeps_no_place():
    r = Room(Limits(per_user=1))
    a = Claim("a")
    assert r.room.take(a)
    r.enter(a)
    r.draining = True
    r.room.give_back(a)
    assert (r.started, r.room.count) == ([], 0)
    assert r.room.take(a)


def test_a_job_holds_one_place_and_takes_none_that_it_has():
    r = Room(Limits(total=1))
    held = HeldPlace(r.room)
    assert held.take(Claim("a"))
    assert held.take(Claim("a"))
    assert held.take(Claim("b"))
    assert not HeldPlace(r.room).take(Claim("a"))
    held.leave()
    held.leave()
    assert HeldPlace(r.room).take(Claim("a"))


def test_so_many_may_wait_that_the_committed_metadata_stays_small():
    r = Room(Limits(total=0))
    while r.room.has_room(leased(r.table, offset := next(r._offsets)), Claim("a")):
        r.table.set_aside(lease := list(r.table._running)[-1])
        r.room.enter(lease, Claim("a"))
    assert 32 <= offset < 128


def test_a_partition_with_as_many_leases_as_its_metadata_can_name_is_not_read_on():
    table, first = LeaseTable(slots=1), 10**9
    loaded(table, committed=OffsetAndMetadata(first, "", -1))
    for offset in range(first, first + MOST_OPEN):
        lease = leased(table, offset)
        table.set_aside(lease)
        if offset < first + 64:  # as many as wait for a place, each with an attempt that was handed back
            table.apply([(Step.BEGIN, lease), (Step.HAND_BACK, lease)])
    assert partition() in table.wanted({partition()}).paused
    assert table.admit(record(first + MOST_OPEN)) is NotLeased.NOT_YET
    (state,) = table.proposed([]).values() or [next(iter(table._assignments.values())).committed_state]
    assert len(state.active) == MOST_OPEN
    assert len(state.encode().metadata) < 4096


# Slots


def test_a_job_that_left_its_slot_has_the_next_one_before_a_record_that_is_not_begun():
    table = LeaseTable(slots=1)
    loaded(table)
    first = leased(table, 0)
    first.holds_slot = False
    second = leased(table, 1)
    assert not table.regain_slot(first)
    second.holds_slot = False
    assert not table.begin(admitted(table, 2))
    assert table.regain_slot(first)
    assert table.slots_full


def test_of_two_that_want_their_slot_again_the_one_that_was_begun_first_has_it():
    table = LeaseTable(slots=1)
    loaded(table)
    first = leased(table, 0)
    first.holds_slot = False
    second = leased(table, 1)
    second.holds_slot = False
    third = leased(table, 2)
    assert not table.regain_slot(second)
    assert not table.regain_slot(first)
    table.end(third)
    assert not table.regain_slot(second)
    assert table.regain_slot(first)


@pytest.mark.parametrize("leave", [LeaseTable.leave_slot, LeaseTable.set_aside, LeaseTable.end])
def test_a_job_that_leaves_while_it_wants_its_slot_again_wants_it_no_more(leave):
    table = LeaseTable(slots=1)
    loaded(table)
    first, second = leased_without_slot(table, 0), leased_without_slot(table, 1)
    third = leased(table, 2)
    assert not table.regain_slot(first)
    assert not table.regain_slot(second)
    leave(table, first)
    table.end(third)
    assert table.regain_slot(second)


def leased_without_slot(table: LeaseTable, offset: int, priority: int = 3) -> Lease:
    lease = admitted(table, offset, ticket=Ticket(priority))
    lease.is_ready = False
    table.resume(lease)
    lease.had_slot = True  # and has left it
    return lease


def test_of_two_that_want_their_slot_again_the_one_of_the_more_urgent_lane_has_it():
    table = LeaseTable(slots=1)
    loaded(table)
    leases = [admitted(table, offset, ticket=Ticket(priority)) for offset, priority in enumerate((3, 5, 5))]
    for lease in leases:
        assert table.begin(lease)
        lease.holds_slot = False
    assert [table.regain_slot(lease) for lease in leases] == [True, False, False]
    leases[0].holds_slot = False
    assert [table.regain_slot(lease) for lease in leases] == [False, True, False]


@pytest.mark.parametrize("slots", [1, 2])
def test_urgent_jobs_pass_each_that_wants_its_slot_again_thirty_times_at_most(slots):
    table = LeaseTable(slots=slots)
    loaded(table)
    working = [leased_without_slot(table, offset, 5) for offset in range(slots)]
    assert all(table.regain_slot(lease) for lease in working)
    slow = leased_without_slot(table, slots, 1)
    asking = [leased_without_slot(table, slots + 1, 5)]
    for turn in range(1, 100):
        assert not any(table.regain_slot(lease) for lease in (slow, *asking))
        table.apply([(Step.FINISH, working[0])])
        table.end(working.pop(0))  # one slot is free, and one more urgent job comes that wants it
        asking.append(leased_without_slot(table, slots + 1 + turn, 5))
        given = [lease for lease in (*asking, slow) if table.regain_slot(lease)]
        assert len(given) == 1
        if given == [slow]:
            break
        asking.remove(given[0])
        working += given
    assert 1 < turn <= MOST_STARTS


def test_of_two_free_slots_both_are_given_at_once():
    table = LeaseTable(slots=3)
    loaded(table)
    first, second = leased_without_slot(table, 0), leased_without_slot(table, 1, 5)
    third = leased(table, 2)
    first.wants_slot = second.wants_slot = True
    assert table.regain_slot(first)
    assert table.regain_slot(second)
    assert third.holds_slot


# In a worker


def by_first_letter(limits: Limits) -> PlaceRules:
    return PlaceRules(limits, lambda record: Claim(record.value[:1].decode()))


def test_records_whose_user_has_no_place_are_not_begun_and_others_pass_them():
    begun = []

    def run(record, context):
        begun.append(record.value)
        if record.value.startswith(b"a"):
            context.leave_slot()
            context.wait(60)
        return Done((Message("results", b"k", record.value),))

    log = [b"a1", b"a2", b"a3", b"a4", b"b1", b"b2"]
    b = WorkerHarness(run, log=log, places=by_first_letter(Limits(per_user=2)), grace_s=0)
    running = b.start()
    assert b.wait_for_results(2) == [b"b1", b"b2"]
    assert sorted(begun) == [b"a1", b"a2", b"b1", b"b2"]
    assert b.worker.waiting_count == 2
    # Neither a death nor the way out counts against what only waited.
    committed = b.broker.offsets[TopicPartition(TOPIC, 0)]
    assert (committed.offset, json.loads(committed.metadata)["a"]) == (0, {"0": 1, "1": 1, "2": 0, "3": 0})
    b.worker.stop()
    running.result()
    assert sorted(begun) == [b"a1", b"a2", b"b1", b"b2"]


def test_each_that_waits_is_done_once_in_its_order():
    begun = []

    def run(record, context):
        begun.append(record.value)
        return Done((Message("results", b"k", record.value),))

    log = [b"a%02d" % n for n in range(30)]
    b = WorkerHarness(run, log=log, places=by_first_letter(Limits(per_user=1)))
    running = b.start()
    assert b.wait_for_results(30) == log
    assert begun == log
    b.worker.stop()
    running.result()
    assert b.broker.offsets[TopicPartition(TOPIC, 0)].offset == 30


def test_a_job_without_its_place_hands_its_attempt_back_and_goes_on_once_there_is_one():
    attempts = []

    def run(record, context):
        attempts.append((record.value, context.attempt, context.counted_attempts))
        if not context.take_place(Claim("a")):
            return Deferred(Claim("a"), (Message("told", b"k", record.value),))
        context.leave_slot()
        if record.value == b"1":
            wait_for(lambda: b.worker.waiting_count, 20, "the second record's wait")
        return Done((Message("results", b"k", record.value),))

    rules = PlaceRules(Limits(per_user=1), lambda record: None)
    b = WorkerHarness(run, log=[b"1"], places=rules)
    running = b.start()
    wait_for(lambda: attempts, 20, "the first record's job")
    b.log.append(b"2")
    wait_for(lambda: len(b.broker.messages) == 3, 20, "both results")
    assert attempts == [(b"1", 1, 1), (b"2", 1, 1), (b"2", 2, 1)]
    assert [message.topic for message in b.broker.messages] == ["told", "results", "results"]
    b.worker.stop()
    running.result()
    assert b.metrics.jobs.labels("worker", "deferred")._value.get() == 1


def test_what_finds_no_room_to_wait_comes_again_later_and_no_attempt_was_begun():
    log = [b"a%03d" % n for n in range(100)]
    b = WorkerHarness(log=log, places=by_first_letter(Limits(total=0)))
    running = b.start()
    wait_for(lambda: len(b.broker.messages) + b.worker.waiting_count == 100, 20, "all records' fate")
    later = b.broker.messages[0]
    assert (later.topic, later.value) == (f"{TOPIC}_retry_30s", b"a064")
    assert {name for name, _ in later.headers} == {"uvr-origin", "uvr-not-before-ms", "uvr-deferred-since-ms"}
    assert b.worker.waiting_count == 64
    b.worker.stop()
    running.result()
    committed = json.loads(b.broker.offsets[TopicPartition(TOPIC, 0)].metadata)
    assert set(committed["a"].values()) == {0}


def test_what_waits_when_its_partition_leaves_is_not_started():
    begun = []

    def run(record, context):
        begun.append(record.value)
        context.wait(60)
        return Done()

    b = WorkerHarness(run, log=[b"a1", b"a2"], places=by_first_letter(Limits(per_user=1)), grace_s=0)
    running = b.start()
    wait_for(lambda: b.worker.waiting_count, 20, "a record that waits")
    b.away.set()
    b.consumer.errors.append(RuntimeError("odd"))
    wait_for(lambda: b.worker.running_count == 0, 20, "the end of what ran")
    assert (begun, b.worker.waiting_count) == ([b"a1"], 0)
    b.worker.stop()
    running.result()
