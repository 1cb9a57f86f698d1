"""Repeated log lines are left out for a period."""

from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from common.observability.repeats import Repeats


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_same_is_news_again_after_the_period():
    clock = Clock()
    repeats = Repeats(60, clock)
    assert repeats.is_news("away")
    clock.now_s = 59.0
    assert not repeats.is_news("away")
    clock.now_s = 61.0
    assert repeats.is_news("away")


def test_an_error_counts_by_its_kind_whatever_it_says():
    repeats = Repeats(60, Clock())
    assert repeats.is_news("away", KafkaTimeoutError("after 1 s"))
    assert not repeats.is_news("away", KafkaTimeoutError("after 2 s"))
    assert repeats.is_news("away", KafkaConnectionError())
    assert repeats.is_news("elsewhere", KafkaTimeoutError("after 3 s"))


def test_it_does_not_keep_all_that_was_ever_said():
    repeats = Repeats(60, Clock())
    for number in range(1000):
        assert repeats.is_news(number)
    assert len(repeats._logged_s) <= 100
