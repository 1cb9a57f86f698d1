"""Tests downloads: a stem is on the disk complete and with the right sha256, or not at all."""

import hashlib
import os

import pytest

from tests.support.client.fake_api import FakeApi, answer, task
from tests.support.client.impatient import impatient
from tests.support.http_server import ScriptedServer, in_turn, redirect, reset, serve
from uvr_client import DownloadFailed, NoResult, StemMismatch, Task, UvrClient

pytestmark = pytest.mark.network

VOCALS = b"la la la " * 50_000


@pytest.fixture
def api():
    with FakeApi() as api:
        yield api


@pytest.fixture
def store():
    with ScriptedServer() as store:
        yield store


@pytest.fixture
def client(api):
    with UvrClient(api.url, "admin", "password", patience=impatient()) as client:
        yield client


def with_stems(**links: str) -> Task:
    return Task.model_validate(succeeded(**links))


def succeeded(**links: str) -> dict:
    stems = {
        name: {
            "url": link,
            "sha256": hashlib.sha256(VOCALS).hexdigest(),
            "bytes": len(VOCALS),
            "duration_s": 1.0,
        }
        for name, link in links.items()
    }
    return task("succeeded", result={"stems": stems, "timestamp": 1.0, "model": "m", "device": "cpu"})


def test_stems_have_their_names_and_nothing_else_is_left(client, store, tmp_path):
    links = {name: store.on(f"/t/1/{name}.flac", serve(VOCALS)) for name in ("vocals", "instrumental")}
    done = with_stems(**{name: f"{link}?X-Amz-Expires=1" for name, link in links.items()})
    files = client.download(done, tmp_path / "new" / "directory")
    assert {name: path.name for name, path in files.items()} == {name: f"{name}.flac" for name in links}
    assert {path.read_bytes() for path in files.values()} == {VOCALS}
    assert sorted(os.listdir(tmp_path / "new" / "directory")) == ["instrumental.flac", "vocals.flac"]


def test_the_store_sees_no_credentials(client, store, tmp_path):
    client.download(with_stems(vocals=store.on("/v.wav", serve(VOCALS))), tmp_path)
    (request,) = store.requests()
    assert "authorization" not in request.headers
    assert request.headers["accept-encoding"] == "identity"


def test_what_is_there_and_right_is_not_fetched_again_what_is_wrong_is(client, store, tmp_path):
    done = with_stems(vocals=store.on("/v.wav", serve(VOCALS)))
    client.download(done, tmp_path)
    client.download(done, tmp_path)
    assert len(store.requests()) == 1
    (tmp_path / "vocals.wav").unlink()
    (tmp_path / "vocals.wav").write_bytes(VOCALS[::-1])
    client.download(done, tmp_path)
    assert (tmp_path / "vocals.wav").read_bytes() == VOCALS


@pytest.mark.parametrize(
    ("data", "why"),
    [(VOCALS[::-1], "sha256"), (VOCALS[:-1], "bytes"), (VOCALS + b"x", "more than"), (b"", "0 bytes")],
)
def test_other_bytes_than_announced_are_no_stem(client, store, tmp_path, data, why):
    (tmp_path / "vocals.wav").write_bytes(b"what was there before")
    with pytest.raises(StemMismatch, match=f"^vocals: .*{why}"):
        client.download(with_stems(vocals=store.on("/v.wav", serve(data))), tmp_path)
    assert os.listdir(tmp_path) == ["vocals.wav"]
    assert (tmp_path / "vocals.wav").read_bytes() == b"what was there before"


def test_a_download_that_broke_off_is_begun_again(client, store, tmp_path):
    broken = (serve(VOCALS[:1000], declared_bytes=len(VOCALS)), serve(b"busy", 503), reset())
    link = store.on("/v.wav", in_turn(*broken, serve(VOCALS)))
    assert client.download(with_stems(vocals=link), tmp_path)["vocals"].read_bytes() == VOCALS
    assert os.listdir(tmp_path) == ["vocals.wav"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_an_answer_that_may_pass_is_followed_by_another_try(client, store, tmp_path, status):
    link = store.on("/v.wav", in_turn(serve(b"not now", status), serve(VOCALS)))
    assert client.download(with_stems(vocals=link), tmp_path)["vocals"].read_bytes() == VOCALS


@pytest.mark.parametrize(("asked", "pause_s"), [("7", 7), ("3600", 15), ("0", 0.5), ("soon", 0.5)])
def test_the_store_may_ask_for_a_pause_but_for_none_that_is_endless(api, store, tmp_path, asked, pause_s):
    pauses_s: list[float] = []
    busy = serve(b"not now", 429, headers=[("Retry-After", asked)])
    link = store.on("/v.wav", in_turn(busy, serve(VOCALS)))
    with UvrClient(api.url, "admin", "password", patience=impatient(pauses_s)) as client:
        client.download(with_stems(vocals=link), tmp_path)
    assert pauses_s == [pause_s]


@pytest.mark.parametrize("status", [400, 401, 403, 410])
def test_a_link_that_has_expired_is_asked_for_anew(client, api, store, tmp_path, status):
    fresh = succeeded(vocals=store.on("/fresh.wav", serve(VOCALS)))
    api.add(fresh)
    old = {**fresh, **succeeded(vocals=store.on("/old.wav", serve(b"expired", status)))}
    old["task_uuid"] = fresh["task_uuid"]
    files = client.download(Task.model_validate(old), tmp_path)
    assert files["vocals"].read_bytes() == VOCALS


@pytest.mark.parametrize("status", [400, 401, 403, 410])
def test_a_link_that_is_refused_again_is_told(client, api, store, tmp_path, status):
    refused = succeeded(vocals=store.on("/v.wav", serve(b"no", status)))
    api.add(refused)
    with pytest.raises(DownloadFailed, match=f"vocals: the store answers with status {status}"):
        client.download(Task.model_validate(refused), tmp_path)
    assert len(store.requests()) == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("script", [serve(b"gone", 404), redirect("/v.wav"), redirect("file:///etc/passwd")])
def test_what_will_not_pass_is_told_at_once(client, store, tmp_path, script):
    with pytest.raises(DownloadFailed, match=r"^vocals: "):
        client.download(with_stems(vocals=store.on("/v.wav", script)), tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_redirect_is_followed(client, store, tmp_path):
    store.on("/there", serve(VOCALS))
    files = client.download(with_stems(vocals=store.on("/v.wav", redirect("/there"))), tmp_path)
    assert files["vocals"].name == "vocals.wav"


@pytest.mark.parametrize("name", ["../vocals", "/etc/passwd", "a/b", ".hidden", "", "a\nb", "a" * 200])
def test_a_stems_name_leads_nowhere_else(client, store, tmp_path, name):
    with pytest.raises(DownloadFailed, match="cannot be the name of a file"):
        client.download(with_stems(**{name: store.on("/v.wav", serve(VOCALS))}), tmp_path / "stems")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "link",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/v.wav",
        "http://",
        "x",
        "http://[/",
        "http://a..b/v.wav",
        "http://1.2.3.400/v.wav",
    ],
)
def test_a_link_of_another_kind_is_not_followed(client, tmp_path, link):
    with pytest.raises(DownloadFailed, match=r"^vocals"):
        client.download(with_stems(vocals=link), tmp_path)


def test_a_directory_that_cannot_be_written_is_told(client, store, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    done = with_stems(vocals=store.on("/v.wav", serve(VOCALS)))
    with pytest.raises(DownloadFailed, match="file"):
        client.download(done, tmp_path / "file")


def test_a_task_without_stems_has_none_to_fetch(client, tmp_path):
    with pytest.raises(NoResult, match="its state is failed"):
        client.download(Task.model_validate(task("failed")), tmp_path)


def test_links_are_refreshed_for_a_task_that_has_none_any_more(client, api, store, tmp_path):
    refused = succeeded(vocals=store.on("/v.wav", serve(b"no", 403)))
    api.on(f"/tasks/{refused['task_uuid']}", answer(200, task("queued", refused["task_uuid"], run=2)))
    with pytest.raises(NoResult, match="its state is queued"):
        client.download(Task.model_validate(refused), tmp_path)
