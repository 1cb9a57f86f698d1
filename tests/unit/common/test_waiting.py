"""Waits that end when they must, and pauses that grow between failures."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from common.errors import Cancelled
from common.waiting import Backoff, DeadlineExceeded, deadline_check, wait_until


class Time:
    """A clock that only `sleep` and the test move on; `stopping` is set after `sleeps` pauses."""

    def __init__(self, sleeps: int = 100):
        self.now_s = 0.0
        self.pauses: list[float] = []
        self.stopping = threading.Event()
        self._sleeps = sleeps

    def clock(self) -> float:
        return self.now_s

    def sleep(self, stopping: threading.Event, seconds: float) -> None:
        assert stopping is self.stopping
        self.pauses.append(seconds)
        self.now_s += seconds
        if len(self.pauses) == self._sleeps:
            stopping.set()

    def backoff(self, first_s: float = 1.0, last_s: float = 5.0) -> Backoff:
        return Backoff(first_s, last_s, self.clock, self.sleep)


@pytest.fixture
def errors() -> list[Exception]:
    return []


def refuse():
    raise OSError("away")


def go_on() -> None:
    pass


def stop() -> None:
    raise Cancelled


class TestDeadlineCheck:
    def test_raises_at_the_deadline_and_not_before(self):
        time = Time()
        check = deadline_check(3.0, go_on, time.clock)
        time.now_s = 2.9
        check()
        time.now_s = 3.0
        with pytest.raises(DeadlineExceeded):
            check()

    def test_raises_what_the_inner_check_raises(self):
        with pytest.raises(Cancelled):
            deadline_check(3.0, stop, Time().clock)()


class TestWaitUntil:
    def test_returns_at_once_without_a_check_when_it_is_ready(self):
        condition = threading.Condition()
        with condition:
            wait_until(condition, lambda: True, stop)

    def test_a_check_ends_the_wait_and_the_lock_is_still_held(self):
        condition = threading.Condition()
        with condition:
            with pytest.raises(Cancelled):
                wait_until(condition, lambda: False, stop, tick_s=0.001)
            condition.notify()  # raises RuntimeError without the lock

    def test_a_notification_ends_it_long_before_the_tick(self):
        condition, waiting, ready = threading.Condition(), threading.Event(), []

        def work() -> None:
            with condition:
                waiting.set()
                wait_until(condition, lambda: bool(ready), go_on, tick_s=3600)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert waiting.wait(20)
        with condition:  # only once the thread waits
            ready.append(True)
            condition.notify_all()
        thread.join(20)
        assert not thread.is_alive()


class TestPauses:
    def test_they_double_up_to_the_longest(self):
        time = Time(sleeps=5)
        backoff = time.backoff()
        for _ in range(5):
            backoff.pause(time.stopping)
        assert time.pauses == [1, 2, 4, 5, 5]

    def test_after_a_reset_they_begin_anew(self):
        time = Time()
        backoff = time.backoff()
        backoff.pause(time.stopping)
        backoff.pause(time.stopping)
        backoff.reset()
        backoff.pause(time.stopping)
        assert time.pauses == [1, 2, 1]


class TestFirstSuccess:
    def test_tries_until_one_succeeds(self, errors):
        time, answers = Time(), iter([OSError("1"), OSError("2"), None])

        def attempt() -> str:
            if error := next(answers):
                raise error
            return "done"

        assert time.backoff().first_success(attempt, time.stopping, errors.append, OSError) == "done"
        assert (time.pauses, [str(error) for error in errors]) == ([1, 2], ["1", "2"])

    def test_ends_with_nothing_when_it_told_to_stop(self, errors):
        time = Time(sleeps=2)
        assert time.backoff().first_success(refuse, time.stopping, errors.append) is None
        assert len(errors) == 2

    def test_other_errors_are_raised(self, errors):
        time = Time()
        with pytest.raises(OSError, match="away"):
            time.backoff().first_success(refuse, time.stopping, errors.append, ValueError)
        assert (errors, time.pauses) == ([], [])


class TestKeep:
    def test_each_failure_is_reported_and_followed_by_a_longer_pause(self, errors):
        time = Time(sleeps=4)
        time.backoff().keep(refuse, refuse, time.stopping, errors.append)
        assert (len(errors), time.pauses) == (4, [1, 2, 4, 5])

    def test_a_connection_is_closed_before_its_failure_is_reported(self):
        time, events = Time(sleeps=1), []

        @contextlib.contextmanager
        def connect() -> Iterator[str]:
            try:
                yield "connection"
            finally:
                events.append("closed")

        def use(connection: str) -> None:
            events.append(connection)
            refuse()

        time.backoff().keep(connect, use, time.stopping, lambda error: events.append(str(error)))
        assert events == ["connection", "closed", "away"]

    def test_use_that_returns_is_followed_by_no_pause_and_begins_the_pauses_anew(self, errors):
        time, uses = Time(sleeps=4), iter([False, False, True, False, False])

        def use(_: None) -> None:
            if not next(uses):
                refuse()

        time.backoff().keep(contextlib.nullcontext, use, time.stopping, errors.append)
        assert time.pauses == [1, 2, 1, 2]

    def test_a_long_use_begins_the_pauses_anew_although_it_fails(self, errors):
        time, lengths_s = Time(sleeps=4), iter([0, 5, 5.5, 0])

        def use(_: None) -> None:
            time.now_s += next(lengths_s)
            refuse()

        time.backoff().keep(contextlib.nullcontext, use, time.stopping, errors.append)
        assert time.pauses == [1, 2, 1, 2]

    def test_nothing_is_begun_once_it_told_to_stop(self, errors):
        time = Time()
        time.stopping.set()
        time.backoff().keep(refuse, refuse, time.stopping, errors.append)
        assert (errors, time.pauses) == ([], [])
