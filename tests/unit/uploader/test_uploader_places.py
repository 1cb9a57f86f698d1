"""Callbacks need places: some records wait for theirs before they begin, and report that they wait."""

import pytest

from common.errors import ErrorCode
from common.jobs.outcome import Deferred
from common.jobs.places import Places
from common.jobs.retry import TRIES
from common.kafka.records import Record
from common.settings.schema import UploaderSettings
from common.tasks.messages import Redelivery, State
from tests.support.common.worker.fakes import FakeContext
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import TASK_UUID, UploaderHarness, record
from uploader.places import callback_claim, callback_limits, claim_of


@pytest.fixture
def receiver():
    with CallbackReceiver() as receiver:
        yield receiver


@pytest.fixture
def harness(tmp_path, receiver):
    return UploaderHarness(tmp_path, receiver)


def asked(harness, run: int = 1) -> Redelivery:
    return Redelivery(task_uuid=TASK_UUID, hook_url=harness.receiver.hook_url, run=run, requested_at=1.0)


def claim(harness, hook_url: str, user: str = "a", run: int = 1):
    result = harness.failed().model_copy(update={"hook_url": hook_url, "user": user, "run": run})
    return callback_claim(result)


def taken_until_full(places: Places, claims) -> int:
    count = 0
    for one in claims:
        if places.fits(one):
            places.take(one)
            count += 1
    return count


def settings(**given) -> UploaderSettings:
    return UploaderSettings(s3_bucket_name="stems", **given)


def test_one_user_leaves_others_places_at_the_same_host_and_elsewhere(harness):
    places = Places(callback_limits(settings()))
    here, there = "http://a.example/hook", "http://b.example/hook"
    assert taken_until_full(places, [claim(harness, here, "a", run) for run in range(100)]) == 4
    assert taken_until_full(places, [claim(harness, there, "a", run) for run in range(100, 200)]) == 4
    assert not places.fits(claim(harness, "http://c.example/", "a", 300))
    assert places.fits(claim(harness, here, "b", 400))


def test_one_host_leaves_other_hosts_places_whoever_its_users_are(harness):
    places = Places(callback_limits(settings()))
    crowd = [claim(harness, "http://a.example/hook", f"user-{run}", run) for run in range(100)]
    assert taken_until_full(places, crowd) == 16
    assert places.fits(claim(harness, "http://b.example/hook", "another", 200))


@pytest.mark.parametrize(
    ("given", "total", "per_user", "per_host"),
    [
        ({}, 32, 8, 4),
        ({"slots": 16}, 128, 32, 16),
        ({"callback_slots": 6, "callback_slots_per_user": 2, "callback_slots_per_host": 1}, 6, 2, 1),
    ],
)
def test_what_is_not_set_follows_from_the_uploaders_slots(given, total, per_user, per_host):
    limits = callback_limits(settings(**given))
    assert (limits.total, limits.per_user, limits.per_key["receiver"]) == (total, per_user, per_host)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("http://a.example/x", "http://A.EXAMPLE.:80/y?z", True),
        ("https://a.example/", "https://a.example:443/", True),
        ("http://a.example/", "https://a.example/", False),
        ("http://a.example/", "http://user@a.example/", True),
        ("http://a.example:99999/", "http://[::1/", True),  # nobody is called there
    ],
)
def test_a_receivers_host_is_its_name_and_port_however_they_are_written(harness, one, other, is_same):
    assert (claim(harness, one) == claim(harness, other)) is is_same


def test_two_callbacks_of_one_run_are_never_under_way_at_once(harness):
    places = Places(callback_limits(settings()))
    places.take(callback_claim(harness.failed()))
    assert not places.fits(callback_claim(asked(harness)))
    assert places.fits(callback_claim(asked(harness, run=2)))


def test_only_a_record_whose_stems_are_published_waits_before_it_is_begun(harness):
    first = record(harness.staged())
    again = Record("results_retry_30s", 0, 7, first.key, first.value)
    unstored = harness.failed().model_copy(update={"unstored": True})
    assert claim_of(first) is None
    assert claim_of(record(harness.failed())) is None
    assert claim_of(Record("results_retry_30s", 0, 7, b"k", first.value, ((TRIES, b'{"job":1}'),))) is None
    assert claim_of(Record("results", 0, 7, b"k", b"no result")) is None
    assert claim_of(Record("results", 0, 7, b"k", None)) is None
    assert claim_of(record(harness.staged().model_copy(update={"hook_url": None}))) is None
    # `again` has no failed try: it was deferred because no place was free.
    for known in (again, record(unstored), record(asked(harness))):
        assert claim_of(known) is not None
    called = Record("results_retry_30s", 0, 7, b"k", first.value, ((TRIES, b'{"callback":2}'),))
    assert claim_of(called) == callback_claim(harness.staged())


def test_a_result_without_a_place_is_published_and_told_and_calls_nobody(harness):
    context = FakeContext(has_place=False)
    outcome = harness.run(harness.staged(), context)
    assert isinstance(outcome, Deferred)
    assert outcome.claim == callback_claim(harness.staged())
    assert harness.requests() == []
    assert f"out/{TASK_UUID}/1/manifest.json" in harness.storage.objects
    settled = harness.settle(outcome)
    (status,) = settled.statuses
    assert (status.state, status.next_try_at) == (State.DELIVERING, None)
    assert status.result is not None
    assert status.result.vocals is not None
    assert settled.deliveries == []


@pytest.mark.parametrize("kind", ["success", "failed", "redelivery"])
def test_what_was_deferred_goes_out_with_the_same_bytes_and_no_try_counted(harness, kind):
    results = {"success": harness.staged(), "failed": harness.failed(), "redelivery": asked(harness)}
    if kind == "redelivery":
        harness.work(harness.staged())
    outcome = harness.run(results[kind], FakeContext(has_place=False))
    (waiting,) = harness.settle(outcome).results
    assert (waiting.topic, waiting.value) == ("results_retry_30s", results[kind].to_bytes())
    assert TRIES not in dict(waiting.headers)
    before = len(harness.requests())
    (delivery,) = harness.work(waiting).deliveries
    assert (delivery.try_number, delivery.error_code) == (1, None)
    assert len(harness.requests()) == before + 1
    assert harness.requests()[-1].headers["webhook-id"] == f"{TASK_UUID}.1"


def test_a_failed_try_keeps_its_count_while_it_waits_for_a_place(harness):
    harness.receiver.answer(500)
    (second,) = harness.work(harness.staged()).results
    (deferred,) = harness.settle(harness.run(second, FakeContext(has_place=False)), second).results
    assert dict(deferred.headers)[TRIES] == b'{"callback":1}'
    (delivery,) = harness.work(deferred).deliveries
    assert (delivery.try_number, delivery.error_code) == (2, ErrorCode.CALLBACK_FAILED)
