"""Uploaders announce their stage, and a processor compares it with its own."""

import threading

import pytest

from common.errors import Cancelled, TransientError
from common.kafka.records import Message
from common.storage.stage import MARKER, LocalStage
from common.tasks import messages
from common.tasks.messages import StageSeen, UndecodableMessage
from common.tasks.stage_news import StageAnnouncer, StageWatch
from tests.support.waiting import wait_for

OTHER = "00000000-0000-0000-0000-00000000000a"


class Harness:
    """A processor's stage and its watch; both clocks are `now_s`. `looks` counts looks at the stage."""

    def __init__(self, directory):
        self.now_s, self.looks = 1_000_000.0, 0
        self.stage = LocalStage(directory / "stage")
        self.stage.open()
        self.watch = StageWatch(self.stage, self._wall_clock, lambda: self.now_s, tick_s=0.005)

    def _wall_clock(self) -> float:
        self.looks += 1
        return self.now_s

    def announced(self, stage: str, worker_id: str = "u1", ago_s: float = 0) -> None:
        at = self.now_s - ago_s
        self.watch.add(StageSeen(kind="stage_seen", worker_id=worker_id, stage=stage, at=at))

    def ok(self) -> bool:
        self.now_s += 2
        return self.watch.check().ok


@pytest.fixture
def harness(tmp_path):
    return Harness(tmp_path)


# The marker


def test_a_stage_is_marked_once_and_for_all_who_have_it(tmp_path):
    stage = LocalStage(tmp_path)
    assert stage.marker() is None
    marked = stage.marked()
    assert LocalStage(tmp_path).marked() == stage.marker() == marked
    assert [path.name for path in tmp_path.iterdir()] == [MARKER]


def test_two_stages_are_marked_differently(tmp_path):
    stages = [LocalStage(tmp_path / name) for name in "ab"]
    for stage in stages:
        stage.open()
    assert stages[0].marked() != stages[1].marked()


@pytest.mark.parametrize("damage", ["", "no id", "x" * 5000, "\xff\xfe"])
def test_a_damaged_marker_is_none_and_is_replaced(tmp_path, damage):
    stage = LocalStage(tmp_path)
    (tmp_path / MARKER).write_bytes(damage.encode("latin-1"))
    assert stage.marker() is None
    assert stage.marked() == stage.marker() is not None


def test_a_link_in_the_markers_place_is_not_read(tmp_path):
    stage = LocalStage(tmp_path / "stage")
    stage.open()
    secret = tmp_path / "secret"
    secret.write_text(OTHER)
    (stage.root / MARKER).symlink_to(secret)
    with pytest.raises(OSError, match="a link"):
        stage.marker()


# A processor judges announcements


def test_where_nobody_announces_nothing_is_held_up(harness):
    assert harness.ok()


def test_a_stage_that_an_uploader_sees_is_ready(harness):
    harness.announced(harness.stage.marked())
    assert harness.ok()


@pytest.mark.parametrize("mine", ["unmarked", "marked"])
def test_one_that_none_sees_is_not_and_says_why(harness, mine):
    if mine == "marked":
        harness.stage.marked()
    harness.announced(OTHER)
    found = harness.watch.check()
    assert not found.ok
    assert str(harness.stage.root) in found.detail
    assert "u1" in found.detail


def test_of_several_uploaders_one_that_sees_it_is_enough_and_the_others_are_named(harness):
    harness.announced(OTHER, "u1")
    harness.announced(harness.stage.marked(), "u2")
    found = harness.watch.check()
    assert found.ok
    assert "u1" in found.detail
    assert "u2" not in found.detail


def test_an_uploader_that_can_mark_none_does_not_see_it(harness):
    harness.announced("")
    assert not harness.ok()
    harness.announced("", "u2")
    harness.stage.marked()
    assert not harness.ok()


def test_what_was_announced_long_ago_says_nothing_nor_does_what_is_far_in_the_future(harness):
    harness.announced(OTHER, "u1", ago_s=200)
    harness.announced(OTHER, "u2", ago_s=-200)
    assert harness.ok()
    harness.announced(OTHER, "u3")
    assert not harness.ok()
    harness.now_s += 200
    assert harness.ok()


def test_an_uploader_that_restarts_with_the_right_stage_mends_it(harness):
    harness.announced(OTHER)
    assert not harness.ok()
    harness.announced(harness.stage.marked())
    assert harness.ok()


def test_a_stage_that_is_wiped_is_not_ready_until_an_uploader_has_marked_it_anew(harness):
    harness.announced(harness.stage.marked())
    assert harness.ok()
    (harness.stage.root / MARKER).unlink()
    assert not harness.ok()
    anew = harness.stage.marked()
    assert not harness.ok()
    harness.announced(anew)
    assert harness.ok()


def test_a_stage_that_cannot_be_used_is_told_first(harness):
    harness.announced(OTHER)
    harness.stage.root.rmdir()
    assert "No such file" in harness.watch.check().detail


# Before jobs begin, and before their stems are staged


def test_before_it_takes_jobs_it_waits_for_what_was_announced_and_then_for_its_stage(harness):
    stopping, over = threading.Event(), threading.Event()
    harness.announced(OTHER)

    def wait() -> None:
        harness.watch.wait(stopping)
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    harness.watch.catch_up()
    wait_for(lambda: harness.looks >= 2 or over.is_set(), 20, "looks at a stage that nobody sees")
    assert not over.is_set()
    harness.announced(harness.stage.marked())
    assert over.wait(20)


def test_a_stop_ends_the_wait(harness):
    stopping = threading.Event()
    stopping.set()
    harness.announced(OTHER)
    harness.watch.wait(stopping)


def test_stems_that_no_uploader_would_see_are_not_staged(harness):
    harness.announced(harness.stage.marked())
    harness.watch.wait_to_stage(lambda: None)
    harness.announced(OTHER)

    def pass_time() -> None:
        harness.now_s += 6

    with pytest.raises(TransientError, match="no uploader") as caught:
        harness.watch.wait_to_stage(pass_time)
    assert str(harness.stage.root) not in caught.value.message


def test_a_job_that_is_to_stop_does_not_wait_for_its_stage(harness):
    harness.announced(OTHER)

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        harness.watch.wait_to_stage(stop)


# An uploader announces


class Kept:
    """An outbox that keeps its messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def put(self, job: object, message: Message) -> None:
        self.messages.append(message)

    def drop(self, job: object) -> None: ...


@pytest.fixture
def announce(tmp_path):
    stage, outbox, stopping = LocalStage(tmp_path / "stage"), Kept(), threading.Event()
    stage.open()
    StageAnnouncer(stage, "u1", "control", outbox, stopping, lambda: 5.0, look_every_s=0.01).start()
    yield stage, outbox
    stopping.set()


def test_it_announces_its_stage_and_again_when_that_is_wiped(announce):
    stage, outbox = announce
    wait_for(lambda: outbox.messages, 20, "an announcement")
    message = outbox.messages[0]
    assert (message.topic, message.key) == ("control", b"stage/u1")
    seen = messages.decode_stage_seen(message.value)
    assert (seen.worker_id, seen.stage, seen.at) == ("u1", stage.marker(), 5.0)
    (stage.root / MARKER).unlink()
    anew = wait_for(lambda: [m for m in outbox.messages if m.value != message.value], 20, "another one")
    assert messages.decode_stage_seen(anew[0].value).stage == stage.marker()


def test_one_that_cannot_mark_its_stage_says_that_it_sees_none(announce):
    stage, outbox = announce
    wait_for(lambda: outbox.messages, 20, "an announcement")
    (stage.root / MARKER).unlink()
    stage.root.rmdir()
    stages = lambda: [messages.decode_stage_seen(m.value).stage for m in outbox.messages]  # noqa: E731
    wait_for(lambda: "" in stages(), 20, "an announcement of none")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b'{"schema_version": 1, "worker_id": "u", "stage": "", "at": 1}',
        b'{"schema_version": 1, "kind": "stage_seen", "worker_id": "u", "stage": "../x", "at": 1}',
        b'{"schema_version": 1, "kind": "stage_seen", "worker_id": "u", "stage": "", "at": -1}',
        b'{"schema_version": 1, "kind": "stage_seen", "worker_id": "u", "stage": "", "at": 1e999}',
        b'{"schema_version": 2, "kind": "stage_seen", "worker_id": "u", "stage": "", "at": 1}',
    ],
)
def test_what_is_no_announcement_is_none(value):
    with pytest.raises(UndecodableMessage):
        messages.decode_stage_seen(value)


def test_an_announcement_is_no_cancel_to_readers_of_earlier_versions():
    seen = StageSeen(kind="stage_seen", worker_id="u1", stage=OTHER, at=1.0)
    with pytest.raises(UndecodableMessage):
        messages.decode_cancel(seen.to_bytes())
