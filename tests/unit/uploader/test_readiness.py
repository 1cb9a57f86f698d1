"""The bucket is checked seldom while it can be used, and often while it cannot."""

from uploader.readiness import BucketWatch
from uploader.storage_errors import BucketMissing


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
