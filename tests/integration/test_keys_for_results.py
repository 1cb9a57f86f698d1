"""The keys of each service are enough for what it reads of results, and a processor's for no more."""

import dataclasses
import logging
from uuid import UUID

import pytest

from api.archive.reader import BucketReader
from common.settings.schema import ApiSettings, ProcessorSettings
from common.storage import bucket_keys
from common.tasks.messages import Task
from common.tasks.messages.manifest import CacheEntry
from local import store
from processor.cache import make_cache
from tests.support.servers import S3Store, SeaweedServer

pytestmark = pytest.mark.network

TASK = Task(task_uuid=UUID(int=1), audio="a", submitted_at=1.0, user="alice")
ENTRY = CacheEntry(task_uuid=UUID(int=2), run=1, created_at=5.0, stems={}, model="m", device="cpu")
DIGEST = "d" * 64
STEM = f"{UUID(int=2)}/1/vocals.wav"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = SeaweedServer(tmp_path_factory.mktemp("store"))
    made.start()
    client, bucket = made.address.client(), made.address.bucket
    client.put_object(Bucket=bucket, Key=STEM, Body=b"stem" * 1000)
    client.put_object(Bucket=bucket, Key=bucket_keys.cached("", "alice", DIGEST), Body=ENTRY.to_bytes())
    yield made
    made.kill()


def settings_of(server: SeaweedServer, keys: store.Keys) -> dict[str, str]:
    address: S3Store = dataclasses.replace(
        server.address, access_key=keys.access_key, secret_key=keys.secret_key
    )
    return {name.lower(): value for name, value in address.environment().items()}


def test_a_processor_finds_cache_entries_by_its_own_keys(server, caplog):
    caplog.set_level(logging.WARNING)
    own = settings_of(server, store.load_processor_keys(server.spec.data_dir))
    cache = make_cache(ProcessorSettings(result_cache_s=100, **own), list, lambda: 6.0)
    assert cache.find(TASK, DIGEST) == ENTRY
    assert cache.find(TASK, "e" * 64) is None
    assert cache.find(TASK.model_copy(update={"user": "bob"}), DIGEST) is None
    assert caplog.records == []


def test_an_api_reads_stems_and_lists_uploads_by_its_own_keys(server):
    own = settings_of(server, store.load_api_keys(server.spec.data_dir))
    reader = BucketReader(ApiSettings(**own), 2)
    assert reader.sizes([STEM, "missing"]) == [4000, None]
    assert b"".join(reader.blocks(STEM, 4000)) == b"stem" * 1000
    assert reader.uploads("alice").size_bytes == 0
