"""A task's results are deleted: whatever fails on the way, and whatever comes late."""

import json
from uuid import UUID

import pytest
from botocore.exceptions import ConnectTimeoutError

from common.settings.schema import ApiSettings
from common.storage.bucket_keys import UploadKeys
from common.storage.links import LinkMaker
from common.tasks.messages import Deletion, Redelivery, State
from common.tasks.messages.manifest import MAX_TOMBSTONE_BYTES
from tests.support.http_server import CallbackReceiver
from tests.support.s3_descriptions import keep_descriptions
from tests.support.uploader.uploader_harness import TASK_UUID, Killed, UploaderHarness, as_record, record

RUN = f"out/{TASK_UUID}/1/"
MANIFEST = f"{RUN}manifest.json"
UPLOAD = UploadKeys("out/", "alice", UUID(int=7))


@pytest.fixture
def harness(tmp_path):
    with CallbackReceiver() as receiver:
        yield UploaderHarness(tmp_path, receiver)


def deletion(**fields):
    known = {"run": 1, "requested_at": 50.0, "user": "root", "owner": "alice", "submitted_at": 1.0}
    return Deletion(task_uuid=TASK_UUID, times={State.SUCCEEDED: 3.0}, **known | fields)


def bodies(harness: UploaderHarness) -> dict[str, bytes]:
    return harness.storage.bucket.bodies


def test_nothing_stays_but_that_the_task_was(harness):
    harness.work_out(harness.staged())
    harness.now_s = 500.0
    settled = harness.work(record(deletion()))
    assert bodies(harness).keys() == {MANIFEST}
    assert json.loads(bodies(harness)[MANIFEST]) == {"status": "deleted", "deleted_at": 500.0}
    assert len(bodies(harness)[MANIFEST]) <= MAX_TOMBSTONE_BYTES
    keys = [message.key.decode() for message in settled.done.messages]
    assert keys == [str(TASK_UUID), f"{TASK_UUID}/progress"]
    assert {message.value for message in settled.done.messages} == {settled.done.messages[0].value}
    assert json.loads(settled.done.messages[0].value) == {
        "schema_version": 1,
        "task_uuid": str(TASK_UUID),
        "run": 1,
        "user": "alice",
        "submitted_at": 1.0,
        "state": "succeeded",
        "at": 500.0,
        "tries": [],
        "attempt": 0,
        "handed_back": 0,
        "times": {"succeeded": 3.0},
        "unstored": False,
        "deleted_at": 500.0,
    }


def test_a_repeated_deletion_ends_the_same(harness):
    harness.work_out(harness.staged())
    first = harness.work(record(deletion()))
    harness.now_s += 1000
    again = harness.work(record(deletion(requested_at=60.0)))
    assert again.done.messages == first.done.messages


@pytest.mark.parametrize("fatal", range(1, 7))
def test_a_deletion_that_is_broken_off_at_any_step_is_done_again_to_the_same_end(harness, fatal):
    harness.work_out(harness.staged())
    bodies(harness).update({UPLOAD.record: b"{}", UPLOAD.audio: b"x", UPLOAD.use(TASK_UUID): b""})
    calls = 0

    def fail(what: str, key: str) -> None:
        nonlocal calls
        calls += what in ("put", "remove")
        if calls == fatal:
            raise Killed

    harness.storage.bucket.fail = fail
    wanted = record(deletion(audio=f"upload:{UPLOAD.upload_id}"))
    with pytest.raises(Killed):
        harness.work(wanted)
    harness.storage.bucket.fail = lambda what, key: None
    settled = harness.work(wanted)
    assert bodies(harness).keys() == {MANIFEST}
    assert [status.deleted_at for status in settled.statuses] == [99.0, 99.0]


def test_a_store_that_is_away_leads_to_retries_and_then_to_a_letter_that_can_be_replayed(harness):
    harness.work_out(harness.staged())

    def fail(what: str, key: str) -> None:
        raise ConnectTimeoutError(endpoint_url="http://store.example")

    harness.storage.bucket.fail = fail
    *retries, last = harness.work_out(record(deletion()))
    assert [len(settled.results) for settled in retries] == [1, 1]
    assert last.statuses == []
    (letter,) = last.letters
    harness.storage.bucket.fail = lambda what, key: None
    again = harness.work(as_record(letter))
    assert again.statuses[0].deleted_at
    assert bodies(harness).keys() == {MANIFEST}


def test_a_late_result_of_a_deleted_run_is_not_published_and_calls_nobody(harness):
    harness.work_out(harness.staged())
    harness.work(record(deletion()))
    (late,) = harness.work_out(harness.staged(offset=6))
    assert late.done.messages == ()
    assert bodies(harness).keys() == {MANIFEST}
    assert len(harness.callbacks()) == 1
    assert harness.files() == []


def test_a_result_that_is_on_its_way_while_its_run_is_deleted_leaves_no_stem(harness):
    result = harness.staged()

    def fail(what: str, key: str) -> None:
        if what == "put_manifest":
            harness.work(record(deletion()))
            bodies(harness)[f"{RUN}vocals.wav"] = b"as if it had come after the look"

    harness.storage.fail = fail
    harness.run(result)
    assert bodies(harness).keys() == {MANIFEST}
    assert harness.callbacks() == []


def test_a_redelivery_that_comes_after_the_deletion_calls_nobody(harness):
    harness.work_out(harness.staged())
    harness.work(record(deletion()))
    wanted = Redelivery(task_uuid=TASK_UUID, hook_url=harness.receiver.hook_url, run=1, requested_at=60.0)
    (only,) = harness.work_out(record(wanted))
    assert only.deliveries[0].error_code == "result_deleted"
    assert len(harness.callbacks()) == 1


def test_a_later_run_keeps_its_results_and_its_status(harness):
    harness.work_out(harness.staged())
    harness.work_out(harness.staged(offset=6, run=2))
    settled = harness.work(record(deletion()))
    assert settled.done.messages == ()
    second = {f"out/{TASK_UUID}/2/{name}" for name in ("vocals.wav", "instrumental.wav", "manifest.json")}
    assert bodies(harness).keys() == second | {MANIFEST}


def test_all_earlier_runs_go_with_the_last(harness):
    harness.work_out(harness.staged())
    harness.work_out(harness.staged(offset=6, run=2))
    settled = harness.work(record(deletion(run=2)))
    assert [status.run for status in settled.statuses] == [2, 2]
    assert bodies(harness).keys() == {MANIFEST, f"out/{TASK_UUID}/2/manifest.json"}


OLD = f"old/{TASK_UUID}/"


@pytest.mark.parametrize("run", [1, 2])
def test_stems_under_an_earlier_prefix_are_deleted_where_their_link_says(harness, run):
    harness.work_out(harness.staged())
    harness.work_out(harness.staged(offset=6, run=2))
    upload = UploadKeys("old/", "alice", UPLOAD.upload_id)
    bodies(harness).update({upload.record: b"{}", upload.audio: b"x", upload.use(TASK_UUID): b""})
    for key in [key for key in bodies(harness) if key.startswith("out/")]:
        bodies(harness)[key.replace("out/", "old/", 1)] = bodies(harness).pop(key)
    later = {key for key in bodies(harness) if key.startswith(f"{OLD}2/")} if run == 1 else set()
    link = f"https://store.example/{OLD}{run}/vocals.wav"
    wanted = record(deletion(run=run, stem_url=link, audio=f"upload:{UPLOAD.upload_id}"))
    settled = harness.work(wanted)
    assert [status.deleted_at is not None for status in settled.statuses] == ([True] * 2 if run == 2 else [])
    runs = range(1, run + 1)
    tombstones = {f"{prefix}{TASK_UUID}/{n}/manifest.json" for n in runs for prefix in ("old/", "out/")}
    assert bodies(harness).keys() == tombstones | later
    assert harness.work(wanted).done.messages == settled.done.messages


def test_stems_in_another_bucket_are_not_said_to_be_deleted(harness):
    link = f"https://elsewhere.example/{RUN}vocals.wav"
    (only,) = harness.work_out(record(deletion(stem_url=link)))
    assert only.statuses == []
    (letter,) = only.letters
    assert any(b"Give an uploader the S3 settings of that time" in value for _, value in letter.headers)
    assert bodies(harness) == {}
    harness.work_out(harness.staged())  # as the uploader with those settings finds it
    again = harness.work(as_record(letter))
    assert again.statuses[0].deleted_at
    assert bodies(harness).keys() == {MANIFEST}


def test_stems_that_a_rule_of_the_bucket_has_removed_are_deleted(harness):
    settled = harness.work(record(deletion(stem_url=f"https://store.example/{RUN}vocals.wav")))
    assert settled.statuses[0].deleted_at
    assert bodies(harness).keys() == {MANIFEST}


SETTINGS = {
    "s3_bucket_name": "stems",
    "s3_endpoint_url": "http://store.example:8333",
    "s3_addressing_style": "path",
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
}


def settings_of(harness: UploaderHarness, monkeypatch, **changes: str) -> LinkMaker:
    """Lets links be read as an uploader with these settings does."""
    keep_descriptions()
    maker = LinkMaker(ApiSettings(**SETTINGS | changes))
    monkeypatch.setattr(harness.storage, "prefix", maker.prefix)
    monkeypatch.setattr(harness.storage, "leads_here", maker.leads_here)
    return maker


@pytest.mark.parametrize("prefix", ["out/", "old/"])
@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize(
    "was", ["http://other.example:8333", "http://store.example:9000", "https://store.example"]
)
def test_a_bucket_of_the_same_name_at_another_store_is_another_bucket(
    harness, monkeypatch, was, style, prefix
):
    earlier = settings_of(harness, monkeypatch, s3_endpoint_url=was, s3_addressing_style=style)
    link = earlier.url(f"{prefix}{TASK_UUID}/1/vocals.wav")
    settings_of(harness, monkeypatch, s3_addressing_style=style)
    (only,) = harness.work_out(record(deletion(stem_url=link.url)))
    assert only.statuses == []
    assert len(only.letters) == 1
    assert bodies(harness) == {}


@pytest.mark.parametrize("prefix", ["out/", "old/"])
def test_a_store_that_moved_with_its_objects_deletes_them(harness, monkeypatch, prefix):
    harness.work_out(harness.staged())
    for key in list(bodies(harness)):
        bodies(harness)[key.replace("out/", prefix, 1)] = bodies(harness).pop(key)
    was = settings_of(harness, monkeypatch, s3_endpoint_url="http://other.example:8333")
    link = was.url(f"{prefix}{TASK_UUID}/1/vocals.wav").url
    settings_of(harness, monkeypatch)
    for _ in range(2):  # the second one finds tombstones
        settled = harness.work(record(deletion(stem_url=link)))
        assert settled.statuses[0].deleted_at
        assert bodies(harness).keys() == {MANIFEST, f"{prefix}{TASK_UUID}/1/manifest.json"}


@pytest.mark.parametrize("setting", ["s3_public_domain", "s3_presign_endpoint_url"])
def test_a_letter_says_which_earlier_setting_is_needed_where_a_rule_has_removed_the_stems(
    harness, monkeypatch, setting
):
    earlier, now = ({setting: f"https://{host}.example"} for host in ("a", "b"))
    link = settings_of(harness, monkeypatch, **earlier).url(f"{RUN}vocals.wav").url
    settings_of(harness, monkeypatch, **now)
    (only,) = harness.work_out(record(deletion(stem_url=link)))
    (letter,) = only.letters
    said = b"".join(value for _, value in letter.headers).decode()
    assert "their link is of a.example, which no S3 setting names" in said
    assert f"the bucket bucket has no manifest of them at {MANIFEST}" in said
    settings_of(harness, monkeypatch, **earlier)
    assert harness.work(as_record(letter)).statuses[0].deleted_at
    assert bodies(harness).keys() == {MANIFEST}


@pytest.mark.parametrize("marked", ["before", "meanwhile"])
def test_an_upload_that_another_task_uses_stays(harness, marked):
    other = UPLOAD.use(UUID(int=8))
    bodies(harness).update({UPLOAD.record: b"{}", UPLOAD.audio: b"x", UPLOAD.use(TASK_UUID): b""})
    if marked == "before":
        bodies(harness)[other] = b""

    def fail(what: str, key: str) -> None:
        if (what, key) == ("remove", UPLOAD.record):
            bodies(harness)[other] = b""

    harness.storage.bucket.fail = fail
    harness.work(record(deletion(audio=f"upload:{UPLOAD.upload_id}")))
    assert bodies(harness).keys() == {MANIFEST, UPLOAD.record, UPLOAD.audio, other}
