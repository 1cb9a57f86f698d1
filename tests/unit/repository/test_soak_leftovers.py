"""What may stay after a soak: objects in the bucket, and marks of uploads."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from common.storage.bucket_keys import cached
from soak.disturbances import Kind
from soak.doubles import AFTERMATH_S
from soak.house import Happened
from soak.leftovers import strays
from soak.tidying import Life, unexplained_marks

TASK, BATCH = str(UUID(int=1)), str(UUID(int=9))
FAILED = {"task_uuid": TASK, "status": "failed"}
LINK = "http://127.0.0.1:1/soak/{}/1/{}.wav?X-Amz-Signature=1"
SUCCESS = {
    "task_uuid": TASK,
    "status": "success",
    "stems": {name: {"url": LINK.format(TASK, name)} for name in ("vocals", "drum%20s")},
}
MANIFEST, PEAKS = f"{TASK}/1/manifest.json", f"{TASK}/1/peaks.json"
STEMS = [f"{TASK}/1/vocals.wav", f"{TASK}/1/drum s.wav"]
ENTRY = "a" * 64


def left(keys: list[str], told: Mapping[str, Any], deleted: tuple[str, ...] = ()) -> list[str]:
    return strays(keys, "soak", [told], deleted, [BATCH])


def test_what_the_last_callback_names_may_stay():
    assert not left([MANIFEST, PEAKS, *STEMS], SUCCESS)
    assert not left([MANIFEST], FAILED)
    assert not left([MANIFEST], SUCCESS, deleted=(TASK,))


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (STEMS[0], FAILED),
        (PEAKS, FAILED),
        (f"{TASK}/1/bass.wav", SUCCESS),
        (f"{TASK}/1/vocals.flac", SUCCESS),
        (f"{TASK}/2/vocals.wav", SUCCESS),
        (f"{TASK}/7/manifest.json", FAILED),
        (f"{UUID(int=2)}/1/manifest.json", SUCCESS),
        (f"stage/{TASK}/0.1/vocals.wav", SUCCESS),
        (f"uploads/anna/{TASK}/audio", SUCCESS),
        (f"batches/{UUID(int=8)}/callback.json", SUCCESS),
        (f"batches/{BATCH}/other.json", SUCCESS),
        (cached("", "nobody", ENTRY), SUCCESS),
    ],
)
def test_what_no_callback_names_is_left(key, told):
    assert left([key, MANIFEST], told) == [key]


def test_of_a_deleted_task_only_the_tombstone_may_stay():
    assert left([MANIFEST, PEAKS, *STEMS], SUCCESS, deleted=(TASK,)) == [PEAKS, *STEMS]


def test_batches_cache_and_the_stage_s_marker_have_objects_of_their_own():
    batch = [f"batches/{BATCH}/{name}.json" for name in ("callback", "delivered")]
    assert not left([*batch, "stage/.uvr-stage", cached("", "anna", ENTRY)], FAILED)


LIVES = {TASK: Life(100, 110)}
STRUCK = Happened("uploader-1", Kind.KILL, at_s=105, until_s=106)


@pytest.mark.parametrize(
    ("marked", "happened", "forms", "is_explained"),
    [
        ([], [], 0, True),
        ([TASK], [], 0, False),
        ([TASK], [], 1, True),
        ([TASK], [STRUCK], 0, True),
        ([TASK, TASK], [STRUCK], 0, False),
        ([TASK], [Happened("uploader-1", Kind.FREEZE, 105, 106)], 0, False),
        ([TASK], [Happened("processor-1", Kind.KILL, 105, 106)], 0, False),
        ([TASK], [Happened("store", Kind.KILL, 111, 112)], 0, False),
        ([TASK], [Happened("store", Kind.KILL, 60, 99 - AFTERMATH_S)], 0, False),
        (["never was"], [STRUCK], 0, False),
        (["never was"], [Happened("api", Kind.KILL, 1, 2)], 0, True),
        ([TASK], [Happened("api", Kind.KILL, 1, 2)], 0, False),
    ],
)
def test_only_kills_in_a_task_s_life_explain_its_mark(marked, happened, forms, is_explained):
    assert bool(unexplained_marks(marked, LIVES, happened, forms)) is not is_explained
