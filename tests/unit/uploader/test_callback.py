"""Callback bodies: the contract's fields, and the same bytes for the same facts."""

import json
from uuid import uuid4

from common.errors import ErrorCode, PermanentError
from common.tasks.messages import Separated, SeparationFailed, StagedStem
from uploader import callback
from uploader.storage import ResultLink

ORIGIN = {"task_uuid": uuid4(), "hook_url": "http://h.example/", "submitted_at": 1.0, "finished_at": 2.5}


def separated(*names: str) -> Separated:
    stem = {"sha256": "a" * 64, "bytes": 7, "duration_s": 1.5}
    stems = {name: StagedStem(key=f"t/5.1/{name}.wav", **stem) for name in names}
    return Separated(**ORIGIN, stems=stems, model="m", device="cpu")


def links(*names: str, expires_at_s: float | None = None) -> dict[str, ResultLink]:
    return {name: ResultLink(f"https://s.example/{name}", expires_at_s) for name in names}


def test_a_success_names_both_stems_at_the_top_and_in_full():
    names = ("vocals", "instrumental")
    body = json.loads(callback.success_body(separated(*names), links(*names), 9.0))
    assert (body["status"], body["task_uuid"], body["timestamp"]) == (
        "success",
        str(ORIGIN["task_uuid"]),
        9.0,
    )
    for name in names:
        assert body[name] == body["stems"][name]["url"] == f"https://s.example/{name}"
    assert body["stems"]["vocals"]["sha256"] == "a" * 64
    assert "expires_at" not in body


def test_how_the_stems_were_computed_is_told_where_the_worker_said_it():
    said = {"runtime": "openvino", "precision": "fp32", "precision_fallback": "bf16: NaN"}
    result = separated("vocals").model_copy(update=said)
    assert json.loads(callback.success_body(result, links("vocals"), 9.0)).items() >= said.items()
    earlier = json.loads(callback.success_body(separated("vocals"), links("vocals"), 9.0))
    assert not earlier.keys() & said.keys()


def test_what_was_chosen_and_named_is_in_both_kinds_of_callback():
    named = {"label": "Artist - Title", "metadata": {"order": 17, "nothing": None}}
    chosen = {"choices": {"preset": "best"}, "version": "1.1.0"}
    result = Separated.model_validate(separated("vocals").model_dump() | named | chosen)
    assert json.loads(callback.success_body(result, links("vocals"), 9.0)).items() >= (named | chosen).items()
    failed = SeparationFailed(**ORIGIN, **named, error_code="not_audio", error_message="No audio")
    assert json.loads(callback.failure_body(failed)).items() >= named.items()
    assert not json.loads(callback.success_body(separated("vocals"), links("vocals"), 9.0)).keys() & named


def test_other_stems_are_named_in_full_only():
    body = json.loads(callback.success_body(separated("drums"), links("drums"), 9.0))
    assert set(body["stems"]) == {"drums"}
    assert "vocals" not in body


def test_the_expiry_is_the_earliest_of_the_links():
    given = {**links("vocals", expires_at_s=70.0), **links("instrumental", expires_at_s=60.0)}
    body = json.loads(callback.success_body(separated("vocals", "instrumental"), given, 9.0))
    assert body["expires_at"] == 60.0


def test_a_failure_has_the_same_bytes_each_time():
    failed = SeparationFailed(**ORIGIN, error_code="not_audio", error_message="No audio")
    body = callback.failure_body(failed)
    assert body == callback.failure_body(failed)
    assert json.loads(body) == {
        "task_uuid": str(ORIGIN["task_uuid"]),
        "status": "failed",
        "timestamp": 2.5,
        "error_code": "not_audio",
        "error_message": "No audio",
    }


def test_a_result_that_cannot_be_published_becomes_a_failure_of_its_own_time_and_bounded_text():
    error = PermanentError(ErrorCode.STORAGE_ERROR, "\ud800" + "x" * 5000)
    failed = callback.as_failed(separated("vocals"), error, lambda: 42.0)
    assert (failed.task_uuid, failed.hook_url) == (ORIGIN["task_uuid"], ORIGIN["hook_url"])
    assert (failed.error_code, failed.finished_at) == ("storage_error", 42.0)
    assert len(failed.error_message) == 1000
    assert json.loads(callback.failure_body(failed))["status"] == "failed"
