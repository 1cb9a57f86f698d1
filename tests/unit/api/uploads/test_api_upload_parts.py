"""An upload in parts becomes a song of all its parts, or stays as it is."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest

from api.uploads.sizes import part_sizes
from tests.support.api.api_client import Answer, ApiClient, basic
from tests.support.api.memory_uploads import BUCKET, memory_gate
from tests.support.memory_s3 import MemoryS3

MIB = 1024 * 1024
AUTH = basic("admin", "password")
Parts = list[dict]


class Desk:
    """An upload of three parts and a bit, all of which are in the store."""

    def __init__(self, client: ApiClient, s3: MemoryS3):
        self.client, self.s3 = client, s3
        begun = self.call("POST", "", {"filename": "a.wav", "bytes": 3 * MIB + 5}).json()
        self.path, self.audio = f"/{begun['upload_id']}", begun["audio"]
        ((multipart_id, (self.key, *_)),) = s3.parts.items()
        self.parts: Parts = []
        for part in begun["parts"]:
            body = bytes([part["number"]]) * part["bytes"]
            etag = s3.upload_part("", self.key, multipart_id, part["number"], body)["ETag"]
            self.parts.append({"number": part["number"], "etag": etag})

    def call(self, method: str, path: str, body: dict | None = None) -> Answer:
        return self.client.request(method, f"/uploads{path}", AUTH, [json.dumps(body or {}).encode()])

    def complete(self, parts: Parts) -> Answer:
        return self.call("POST", self.path + "/complete", {"parts": parts})

    @property
    def state(self) -> str:
        return self.call("GET", self.path).json()["state"]


@pytest.fixture
def desk(monkeypatch) -> Iterator[Desk]:
    monkeypatch.setattr("api.uploads.sizes._SINGLE_BYTES", MIB)
    monkeypatch.setattr("api.uploads.sizes._LEAST_PART_BYTES", MIB)
    s3 = MemoryS3()
    with closing(memory_gate(s3)) as gate:
        yield Desk(ApiClient(uploads=gate, **BUCKET), s3)


@pytest.mark.parametrize(
    "chosen",
    [
        lambda parts: [],
        lambda parts: parts[:3],
        lambda parts: parts[1:],
        lambda parts: [parts[0], *parts[2:]],
        lambda parts: [*parts, parts[3]],
        lambda parts: [*parts[:3], parts[0]],
        lambda parts: [*parts, {**parts[3], "number": 5}],
        lambda parts: [*parts[:3], {**parts[3], "number": 5}],
        lambda parts: [*parts[:3], {**parts[2], "number": 4}],
    ],
    ids=["none", "first", "last", "hole", "twice", "wrong-twice", "more", "other", "wrong-etag"],
)
def test_other_parts_than_all_change_nothing(desk: Desk, chosen: Callable[[Parts], Parts]):
    answer = desk.complete(chosen(desk.parts))
    assert (answer.status, answer.json()["error_code"]) == (400, "upload_mismatch")
    assert desk.state == "incomplete"
    assert len(desk.s3.parts) == 1
    done = desk.complete(desk.parts[::-1])
    assert (done.status, done.json()["state"], desk.state) == (200, "complete", "complete")
    assert desk.complete(desk.parts[:1]).json()["state"] == "complete"  # an upload that is complete stays so
    assert [desk.s3.objects[desk.key][0][place * MIB] for place in range(4)] == [1, 2, 3, 4]


def test_the_answer_names_what_is_missing(desk):
    said = desk.complete([desk.parts[0], *desk.parts[2:]]).json()["error"]
    assert "part 2 is missing" in said
    assert "1 to 4" in said


@pytest.mark.parametrize("size_bytes", [1, 3 * MIB + 4, 3 * MIB + 6])
def test_a_song_that_is_not_the_announced_one_is_complete_nowhere(desk, size_bytes):
    desk.s3.put_object("", desk.key, bytes(size_bytes))
    answers = [desk.complete(desk.parts), desk.client.generate({"audio": desk.audio})]
    assert {(answer.status, answer.json()["error_code"]) for answer in answers} == {(400, "upload_mismatch")}
    assert desk.state == "incomplete"


def test_the_parts_of_a_form_that_broke_off_cannot_be_named(desk, monkeypatch):
    monkeypatch.setattr("api.uploads.sizes._SINGLE_BYTES", 64 * MIB)
    for parts in ([], desk.parts):
        assert desk.complete(parts).status == 409
    assert len(desk.s3.parts) == 1


@pytest.mark.parametrize("size_bytes", [64 * MIB, 64 * MIB + 1, 2048 * MIB, 2049 * MIB, 40_000 * MIB - 1])
def test_the_parts_are_the_song_and_few(size_bytes):
    sizes = part_sizes(size_bytes)
    assert sum(sizes) == size_bytes
    assert len(sizes) <= 128
    assert len({*sizes[:-1]}) == 1
    assert sizes[-1] <= sizes[0]
    assert part_sizes(64 * MIB - 1) == ()


@pytest.mark.parametrize("size_bytes", [5, 3 * MIB + 5], ids=["whole", "parts"])
@pytest.mark.parametrize(
    ("urls_s", "kept_s", "expected_s"), [(300, 86_400, 300), (604_800, 900, 900), (86_400, 86_400, 86_400)]
)
def test_the_end_of_the_addresses_is_told(desk, size_bytes, urls_s, kept_s, expected_s):
    settings = {"s3_url_expires_s": urls_s, "upload_retention_s": kept_s}
    with closing(memory_gate(desk.s3, **settings)) as gate:
        desk.client = ApiClient(uploads=gate, **BUCKET, **settings)
        begun = desk.call("POST", "", {"filename": "a.wav", "bytes": size_bytes}).json()
    signed = parse_qs(urlsplit(begun["url"] if "url" in begun else begun["parts"][0]["url"]).query)
    assert signed["X-Amz-Expires"] == [str(expected_s)]
    assert begun["url_expires_at"] == int(begun["created_at"]) + expected_s
    assert begun["url_expires_at"] <= begun["expires_at"]
