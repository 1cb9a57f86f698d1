"""Jobs that began without a slot, when they got their place, take turns for one with what has not begun."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from common.jobs.lanes import Ticket
from common.jobs.outcome import Done
from common.jobs.places import Claim, Limits
from common.kafka.records import Message, Record
from common.worker.committed_state import Step
from common.worker.lane_choice import MOST_STARTS
from common.worker.lease import Lease
from common.worker.lease_table import LeaseTable
from common.worker.ready_records import ReadyRecords
from common.worker.waiting_room import PlaceRules
from tests.support.common.worker.fakes import admitted, leased, loaded, partition
from tests.support.common.worker.worker_harness import WorkerHarness
from tests.support.waiting import wait_for

SLOTS, SONGS, PATIENCE_S = 2, 40, 20
TWO_PLACES_EACH = Limits(total=8, per_user=2)


@dataclass
class Songs:
    """Two of user A's songs, with slow downloads, hold A's places. The others wait for one of these."""

    lane_of_a: int = 3
    lane_of_b: int = 3
    downloaded: threading.Event = field(default_factory=threading.Event)
    # Before both have their slots again no place is free for a song that wants its first one.
    both_work: threading.Barrier = field(default_factory=lambda: threading.Barrier(SLOTS))
    may_end: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    begun: int = 0
    most_ahead: int = 0
    working: list[bytes] = field(default_factory=list)  # in the order in which they began to
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        log = [b"A%d" % number for number in range(SONGS)]
        places = PlaceRules(TWO_PLACES_EACH, lambda record: Claim(user_of(record)))
        self.harness = WorkerHarness(self._run, log=log, slots=SLOTS, places=places)
        self.worker = self.harness.worker
        lanes = {"A": self.lane_of_a, "B": self.lane_of_b}
        self.worker._intake._ticket_of = lambda record: Ticket(lanes[user_of(record)], user_of(record))

    def _run(self, record: Record, context) -> Done:
        with self.lock:
            self.begun += 1
            self.most_ahead = max(self.most_ahead, self.begun - len(self.working))
        if record.offset < SLOTS:
            context.leave_slot()
            assert self.downloaded.wait(PATIENCE_S)
        context.regain_slot()
        with self.lock:
            self.working.append(record.value)
        if record.offset < SLOTS:
            self.both_work.wait(PATIENCE_S)
        context.leave_place()
        while not self.may_end.acquire(timeout=0.01):
            context.check()
        return Done((Message("results", b"k", record.value),))

    def wait_for_newcomers(self) -> None:
        wait_for(lambda: self.worker.waiting_count == SONGS - SLOTS, PATIENCE_S, "songs without a place")
        self.downloaded.set()
        wait_for(lambda: len(self.worker._leases.newcomers()[0]) == 2, PATIENCE_S, "songs that want a slot")

    def wait_for_working(self, count: int) -> None:
        wait_for(lambda: len(self.working) >= count, PATIENCE_S, "the next song")


def user_of(record: Record) -> str:
    return record.value[:1].decode()


@pytest.fixture
def songs() -> Iterator[Songs]:
    with running(Songs()) as songs:
        yield songs


@contextmanager
def running(songs: Songs) -> Iterator[Songs]:
    run = songs.harness.start()
    songs.wait_for_newcomers()
    yield songs
    songs.may_end.release(10 * SONGS)
    songs.worker.stop()
    run.result()


# the urgent song, one of an equal lane, and one that must not starve; and how many may work before it
@pytest.mark.parametrize(("lane_of_a", "lane_of_b", "most"), [(1, 5, 1), (3, 3, 1), (5, 1, MOST_STARTS - 1)])
def test_songs_of_one_user_that_waited_for_a_place_pass_anothers_song_in_its_turn_only(
    lane_of_a, lane_of_b, most
):
    with running(Songs(lane_of_a, lane_of_b)) as songs:
        songs.harness.log.append(b"B")
        wait_for(lambda: songs.worker._intake._ready._entries, PATIENCE_S, "the other user's song")
        before = len(songs.working)
        for number in range(before + 1, before + 1 + MOST_STARTS):
            songs.may_end.release()
            songs.wait_for_working(number)
        assert songs.working.index(b"B") - before <= most


def test_no_more_songs_are_downloaded_ahead_than_there_are_places(songs):
    songs.may_end.release(SONGS)
    songs.harness.wait_for_results(SONGS)
    assert songs.most_ahead == TWO_PLACES_EACH.per_user


def test_each_song_is_counted_as_given_a_slot_once_it_has_its_first_one(songs):
    def starts() -> float:
        metrics = songs.harness.metrics
        return metrics.starts.labels(metrics.service, str(songs.lane_of_a))._value.get()

    assert starts() == len(songs.working) == SLOTS
    songs.may_end.release(SONGS)
    songs.harness.wait_for_results(SONGS)
    assert starts() == SONGS


def test_a_stop_ends_songs_that_want_their_first_slot_like_any_other_that_runs(songs):
    begun = songs.begun
    songs.worker.stop()
    wait_for(lambda: songs.worker._leases.draining, PATIENCE_S, "the stop")
    songs.may_end.release(SONGS)
    songs.harness.wait_for_results(begun)
    assert sorted(songs.working) == sorted(b"A%d" % number for number in range(begun))


def newcomer(table: LeaseTable, offset: int, number: int = 0, user: str = "A") -> Lease:
    """Returns the lease of a job that began without a slot and wants its first one."""
    lease = admitted(table, offset, number, ticket=Ticket(3, user))
    lease.is_ready = False
    assert table.resume(lease)
    assert not table.regain_slot(lease)
    return lease


def test_on_a_partition_that_is_to_move_a_job_has_its_first_slot_before_records_of_others():
    table = LeaseTable(slots=1)
    loaded(table, 0)
    loaded(table, 1)
    works = leased(table, 0, 1)
    stays = newcomer(table, 0)
    table.hold_back({partition(0)})
    assert not table.regain_slot(stays)
    works.holds_slot = False
    assert not table.begin(admitted(table, 1, 1))
    assert table.regain_slot(stays)


def test_a_user_with_a_download_that_never_ends_has_turns_beside_many_others():
    table, ready = LeaseTable(slots=1), ReadyRecords()
    loaded(table)
    aside = admitted(table, 0, ticket=Ticket(3, "A"))
    assert table.begin(aside)
    table.leave_slot(aside)
    wants = newcomer(table, 1)
    for offset in range(2, 30):
        ready.add(admitted(table, offset, ticket=Ticket(3, "BCD"[offset % 3])))
    for _ in range(6):
        newcomers, running = table.newcomers()
        chosen = ready.take_next(running, frozenset(), newcomers)
        if chosen is wants:
            break
        assert table.begin(chosen)
        table.apply([(Step.BEGIN, chosen), (Step.FINISH, chosen)])
        table.end(chosen)
    assert chosen is wants
