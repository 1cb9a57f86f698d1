"""The bucket is checked seldom while it can be used, and often while it cannot."""

import itertools
import threading

from common.storage.storage_errors import BucketMissing
from uploader.readiness import BucketWatch


class Store:
    def __init__(self) -> None:
        self.asked, self.error, self.now_s = 0, None, 100.0

    def __call__(self) -> None:
        self.asked += 1
        if self.error:
            raise self.error


def watch(store: Store) -> BucketWatch:
    return BucketWatch(store, lambda: store.now_s)


def test_the_first_check_asks():
    store = Store()
    assert watch(store).check().ok
    assert store.asked == 1


def test_a_good_answer_holds_for_a_while():
    store = Store()
    bucket = watch(store)
    for _ in range(20):
        assert bucket.check().ok
        store.now_s += 1
    assert store.asked == 1
    store.error = BucketMissing("no bucket")
    store.now_s += 15
    check = bucket.check()
    assert (check.ok, check.detail) == (False, "no bucket")


def test_a_bad_answer_is_asked_again_soon():
    store = Store()
    store.error = BucketMissing("no bucket")
    bucket = watch(store)
    assert not bucket.check().ok
    store.error = None
    assert not bucket.check().ok
    store.now_s += 3
    assert bucket.check().ok


def test_an_outage_is_logged_once_for_each_reason(caplog):
    store = Store()
    store.error = BucketMissing("no bucket")
    bucket = watch(store)
    for _ in range(5):
        bucket.check()
        store.now_s += 3
    assert [record.getMessage() for record in caplog.records] == ["the bucket cannot be used: no bucket"]


def test_the_wait_for_the_bucket_ends_once_it_can_be_used():
    errors, stopping = [BucketMissing("no bucket"), BucketMissing("no bucket"), None], threading.Event()

    def ask() -> None:
        if error := errors.pop(0):
            raise error

    stopping.wait = lambda timeout_s: False
    # Each look at the clock is 100 s after the last, so each round asks the store.
    BucketWatch(ask, itertools.count(0, 100).__next__).wait(stopping)
    assert errors == []
    assert not stopping.is_set()


def test_a_service_that_stops_does_not_wait_for_the_bucket():
    store, stopping = Store(), threading.Event()
    store.error = BucketMissing("no bucket")
    stopping.set()
    watch(store).wait(stopping)
    assert store.asked == 0
