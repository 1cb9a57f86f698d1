"""STAGE=s3: a service killed where its work differs from that with a directory for a stage."""

from collections.abc import Iterator

import pytest

from common.failpoint import Failpoint
from tests.support import audio
from tests.support.crash import PROCESSOR, STEMS, CrashSystem

pytestmark = pytest.mark.network
UPLOADER = "uploader"


@pytest.fixture(scope="module")
def crashing(module_stack, kafka, s3_store, model_dir) -> Iterator[CrashSystem]:
    made = CrashSystem(module_stack, kafka.bootstrap, s3_store, model_dir, STAGE="s3")
    made.trio.start("api", PROCESSOR, UPLOADER)
    yield made
    made.close()
    assert not module_stack.outputs.exists()


def killed_at(crashing: CrashSystem, module: str, point: Failpoint, song: bytes):
    service = crashing.armed(module, point)
    task_uuid = crashing.trio.submit(crashing.trio.song(song))
    crashing.wait_for_end(service)
    return service, task_uuid


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "staged"), [(Failpoint.STAGING, 1), (Failpoint.STAGED, 2), (Failpoint.JOB_IN_TRANSACTION, 2)]
)
def test_a_processor_killed_while_it_stages_does_the_task_again_and_leaves_nothing(
    crashing, song, point, staged
):
    processor, task_uuid = killed_at(crashing, PROCESSOR, point, song)
    assert len(crashing.staged(task_uuid)) == staged
    assert crashing.results(task_uuid) == []
    crashing.restart(processor)
    crashing.assert_seen_once(task_uuid)
    assert crashing.attempts(processor, task_uuid) == [1, 2]


@pytest.mark.slow
def test_a_processor_killed_between_two_parts_leaves_no_multipart_upload(crashing, tmp_path):
    # A stem of more than one part of 16 MiB.
    long = audio.write(tmp_path / "long.flac", audio.noise(100), subtype="PCM_16").read_bytes()
    processor, task_uuid = killed_at(crashing, PROCESSOR, Failpoint.BETWEEN_PARTS, long)
    assert len(crashing.uploads(task_uuid)) == 1
    assert crashing.staged(task_uuid) == []
    crashing.restart(processor)
    crashing.assert_seen_once(task_uuid)


# Where it dies, what is in the store then, and how many stems are still staged.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "stored", "staged"),
    [
        (Failpoint.BETWEEN_STEMS, ["vocals.wav"], 2),
        (Failpoint.UPLOADED, sorted(STEMS), 2),
        (Failpoint.MANIFEST_WRITTEN, sorted((*STEMS, "manifest.json")), 2),
    ],
)
def test_an_uploader_killed_while_it_publishes_ends_what_it_began(crashing, song, point, stored, staged):
    uploader, task_uuid = killed_at(crashing, UPLOADER, point, song)
    assert sorted(crashing.objects(task_uuid)) == stored
    assert len(crashing.staged(task_uuid)) == staged
    crashing.restart(uploader)
    crashing.assert_seen_once(task_uuid)


def test_an_uploader_killed_after_its_commit_has_left_nothing_staged(crashing, song):
    uploader, task_uuid = killed_at(crashing, UPLOADER, Failpoint.JOB_COMMITTED, song)
    assert crashing.staged(task_uuid) == []
    crashing.restart(uploader)
    crashing.assert_seen_once(task_uuid)
