"""The clock of the engine's working time runs on while a song is separated."""

import pytest

from processor.engine.busy_clock import BusyClock


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_work_counts_while_it_is_under_way_and_the_time_between_does_not():
    clock = Clock()
    busy = BusyClock(clock)
    seen = [busy.seconds]
    for _ in range(2):
        with busy.working():
            clock.now_s += 5
            seen.append(busy.seconds)
            clock.now_s += 5
        clock.now_s += 1000
        seen.append(busy.seconds)
    assert seen == [0, 5, 10, 15, 20]


def test_work_that_fails_has_taken_its_time_too():
    clock = Clock()
    busy = BusyClock(clock)

    def crash() -> None:
        with busy.working():
            clock.now_s += 3
            raise ValueError("crash")

    with pytest.raises(ValueError, match="crash"):
        crash()
    clock.now_s += 3
    assert busy.seconds == 3
