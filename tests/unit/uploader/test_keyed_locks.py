"""A key has one holder at a time, other keys are free, and a job that must stop does not wait."""

import pytest

from common.errors import Cancelled
from tests.support.common.worker.fakes import FakeContext, InThread
from uploader.keyed_locks import KeyedLocks


def test_a_second_holder_of_a_key_waits_for_the_first():
    locks, order = KeyedLocks(), []
    context = FakeContext()

    def second() -> None:
        with locks.hold("k", context):
            order.append("second")

    with locks.hold("k", FakeContext()):
        waiting = InThread(second)
        while not context.checks:
            assert waiting.waits
        order.append("first")
    waiting.result()
    assert order == ["first", "second"]


def test_other_keys_do_not_wait():
    locks = KeyedLocks()
    with locks.hold("a", FakeContext()), locks.hold("b", FakeContext(cancel_after=0)):
        pass


def test_a_job_that_must_stop_does_not_wait_on():
    locks = KeyedLocks()
    with (
        locks.hold("k", FakeContext()),
        pytest.raises(Cancelled),
        locks.hold("k", FakeContext(cancel_after=0)),
    ):
        raise AssertionError("held twice")
    with locks.hold("k", FakeContext(cancel_after=0)):
        pass


def test_a_holder_that_fails_frees_its_key():
    locks = KeyedLocks()
    with pytest.raises(OSError, match="disk"), locks.hold("k", FakeContext()):
        raise OSError("disk")
    with locks.hold("k", FakeContext(cancel_after=0)):
        pass
