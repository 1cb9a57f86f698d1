"""Callbacks by what came of them, and how long an upload and a callback take."""

import pytest

from common.errors import ErrorCode, PermanentError
from tests.support.common.observability.exposition import Exposition
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import UploaderHarness
from uploader.metrics import UploaderMetrics, class_of
from uploader.webhook import Delivered, Gone, Refused, Rejected, TimedOut, Unreachable


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Delivered(204), "2xx"),
        (Rejected(302, "a redirect"), "3xx"),
        (Rejected(404, "not found"), "4xx"),
        (Gone(), "4xx"),
        (Rejected(503, "busy"), "5xx"),
        (Rejected(999, "strange"), "other"),
        (Rejected(101, "strange"), "other"),
        (TimedOut("no answer within 30 seconds"), "timeout"),
        (Unreachable("network error: Connection refused"), "network"),
        (Refused(PermanentError(ErrorCode.ADDRESS_BLOCKED)), "blocked"),
    ],
)
def test_an_answer_is_of_one_class_which_stands_at_zero_before(answer, expected):
    metrics = UploaderMetrics.create()
    before = Exposition.of(metrics.worker.registry)
    assert {"class": expected} in before.labels("uvr_callbacks_total")
    assert before.value("uvr_callbacks_total") == 0
    assert class_of(answer) == expected
    metrics.called(answer, 0.5)
    after = Exposition.of(metrics.worker.registry)
    assert after.value("uvr_callbacks_total", **{"class": expected}) == 1
    assert len(after.labels("uvr_callbacks_total")) == len(before.labels("uvr_callbacks_total"))


def test_a_result_that_is_delivered_at_its_second_try(tmp_path):
    with CallbackReceiver() as receiver:
        harness = UploaderHarness(tmp_path, receiver)
        receiver.answer(503)
        (waiting,) = harness.work(harness.staged()).results
        receiver.answer(204)
        harness.work(waiting)
    shown = Exposition.of(harness.metrics.worker.registry)
    assert shown.value("uvr_callbacks_total", **{"class": "5xx"}) == 1
    assert shown.value("uvr_callbacks_total", **{"class": "2xx"}) == 1
    assert shown.value("uvr_phase_seconds_count", service="uploader", phase="callback") == 2
    # the second try has found the manifest
    assert shown.value("uvr_phase_seconds_count", service="uploader", phase="upload") == 1
