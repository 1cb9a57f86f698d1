"""What a client of a real server sees of an archive: a break as a break, and a place that is free again."""

import threading

import pytest
import requests

from api.archive.errors import ObjectBroken
from common.tasks.messages import PublishedStem, State, Status, SuccessCallback
from tests.support.api.api_server import ApiServer, api_server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

BLOCK = bytes(1 << 20)
STEM = PublishedStem(url="https://s.example/vocals.wav", sha256="a", bytes=64 * len(BLOCK), duration_s=1)
RESULT = SuccessCallback(
    task_uuid="7c9e6679-7425-40de-944b-e07fc1f90ae7",
    timestamp=1e9,
    stems={"vocals": STEM},
    model="m",
    device="d",
)
AUTH = ("admin", "password")


class Reader:
    """Gives the first of its 64 blocks, then what `then` says."""

    def __init__(self):
        self.closed = threading.Event()
        self.breaks = True

    def sizes(self, keys):
        return [STEM.bytes]

    def blocks(self, key, size_bytes):
        try:
            yield BLOCK
            if self.breaks:
                raise ObjectBroken("the store has broken off")
            for _ in range(63):
                yield BLOCK
        finally:
            self.closed.set()


@pytest.fixture
def api():
    with api_server(s3_bucket_name="bucket") as server:
        status = Status(
            task_uuid=RESULT.task_uuid,
            user="admin",
            submitted_at=1.0,
            state=State.SUCCEEDED,
            at=9.0,
            result=RESULT,
        )
        server.view.tell(status)
        yield server


def load(api: ApiServer) -> tuple[str, Reader]:
    reader = Reader()
    api.app.state.parts.archives._load = lambda settings: reader
    return f"{api.url}/tasks/{RESULT.task_uuid}/archive.zip", reader


def test_a_store_that_breaks_off_breaks_the_clients_connection(api):
    url, reader = load(api)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(url, auth=AUTH, timeout=30)
    reader.breaks = False
    answer = requests.get(url, auth=AUTH, timeout=30)
    assert answer.status_code == 200
    assert len(answer.content) > STEM.bytes


def test_a_client_that_goes_away_frees_the_store_and_its_place(api):
    url, reader = load(api)
    reader.breaks = False
    with requests.get(url, auth=AUTH, timeout=30, stream=True) as answer:
        answer.raw.read(1024)
        assert requests.get(url, auth=AUTH, timeout=30).status_code == 429
    assert reader.closed.wait(30)
    wait_for(lambda: requests.get(url, auth=AUTH, timeout=30).status_code == 200, 30, "a free place")
