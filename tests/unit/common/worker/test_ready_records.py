"""The records that are read and not begun: whose turn it is."""

from collections import Counter

from common.jobs.lanes import Ticket
from common.worker.lease_table import LeaseTable
from common.worker.ready_records import ReadyRecords
from tests.support.common.worker.fakes import admitted, loaded, partition


class Queue:
    """Ready records of one worker with one slot, each begun and ended at once unless it is kept."""

    def __init__(self) -> None:
        self.table, self.ready = LeaseTable(slots=1000), ReadyRecords()
        self.running: Counter[str] = Counter()
        self._next: Counter[int] = Counter()

    def add(self, user: str, priority: int = 3, number: int = 0) -> None:
        if number not in self._next:
            loaded(self.table, number)
        lease = admitted(self.table, self._next[number], number, ticket=Ticket(priority, user))
        self._next[number] += 1
        self.ready.add(lease)

    def starts(self, count: int, held_back=frozenset()) -> str:
        """The users or lanes of the next starts, in order."""
        found = [self.ready.take_next(self.running, held_back) for _ in range(count)]
        return "".join(lease.ticket.user for lease in found if lease)


def test_of_one_user_the_record_that_was_read_first_comes_first():
    queue = Queue()
    for number in range(4):
        queue.add("a", number=number)
    taken = [queue.ready.take_next({}, frozenset()) for _ in range(4)]
    assert [lease.assignment.partition for lease in taken] == [partition(number) for number in range(4)]


def test_users_of_a_lane_take_turns_however_many_songs_one_of_them_has():
    queue = Queue()
    for _ in range(40):
        queue.add("a")
    for user in "bbc":
        queue.add(user)
    assert queue.starts(7) == "abcabaa"


def test_new_users_pass_nobody_who_waited_before_they_came():
    queue = Queue()
    for user in "aab":
        queue.add(user)
    assert queue.starts(1) == "a"
    for user in "cde":
        queue.add(user)
    assert queue.starts(5) == "bacde"


def test_the_user_with_the_fewest_running_jobs_comes_first():
    queue = Queue()
    for user in "aab":
        queue.add(user)
    queue.running["a"] = 1
    assert queue.starts(1) == "b"
    queue.running["b"] = 2
    assert queue.starts(2) == "aa"


def test_a_lane_comes_before_a_user():
    queue = Queue()
    queue.add("a", 3)
    queue.add("b", 5)
    queue.running["b"] = 7
    assert queue.starts(2) == "ba"


def test_what_is_held_back_waits_and_what_was_lost_is_forgotten():
    queue = Queue()
    queue.add("a", number=0)
    queue.add("b", number=1)
    queue.add("c", number=2)
    assert queue.starts(1, {partition(0)}) == "b"
    queue.table.drop([partition(0)])
    assert queue.starts(3) == "c"


def test_with_a_thousand_songs_in_one_lane_an_urgent_one_has_the_next_slot():
    queue = Queue()
    for number in range(1000 // 40):
        for _ in range(40):
            queue.add("a", 3, number)
    assert queue.starts(100) == "a" * 100
    queue.add("u", 5, 100)
    assert queue.starts(2) == "ua"
