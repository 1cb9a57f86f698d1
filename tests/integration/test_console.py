"""The console in a real Chromium, with the real api and a real store; the test does what workers do."""

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import soundfile

from api.view.merge import of_task
from common.storage.bucket_keys import RunKeys
from common.tasks.messages import PublishedStem, State, Status, SuccessCallback, Task
from processor.audio.peaks import Peaks
from processor.audio.wav import SAMPLE_RATE
from tests.support import audio
from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Browser, Tab, browser
from tests.support.console import findings, need_console
from tests.support.paths import REPOSITORY
from tests.support.servers import S3Store
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_PATIENCE_S = 60
_SONG_S = 20
_IN_STEP_S = 0.02
# How much of the first waveform's canvas is covered.
_DRAWN_SHARE = """(() => {
    const canvas = document.querySelector(".waveform canvas");
    const { width, height } = canvas;
    const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    return pixels.filter((byte, index) => index % 4 === 3 && byte > 0).length / (width * height);
})()"""
_CLICK_IN_THE_MIDDLE = """{
    const wave = document.querySelector(".waveform"), { left, width } = wave.getBoundingClientRect();
    wave.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX: left + width / 2 }));
}"""


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need_console()
    flags = ("--window-size=1200,1600", "--lang=en", "--autoplay-policy=no-user-gesture-required")
    with browser(tmp_path_factory.mktemp("profile"), *flags) as started:
        yield started


def settings(store: S3Store, tmp_path: Path) -> dict[str, str | Path]:
    return {
        "s3_endpoint_url": store.endpoint_url,
        "s3_bucket_name": store.bucket,
        "aws_access_key_id": store.access_key,
        "aws_secret_access_key": store.secret_key,
        "s3_prefix": f"{uuid4()}/",
        "view_file": tmp_path / "view",
    }


@pytest.fixture
def api(s3_store: S3Store, tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(**settings(s3_store, tmp_path)) as server:
        yield server


def opened(chrome: Browser, api: ApiServer) -> Tab:
    """A tab with the console, in which nobody is signed in."""
    tab = chrome.open("about:blank")
    tab.browser.call("Network.enable", tab.session)
    tab.browser.call("Network.clearBrowserCookies", tab.session)
    tab.listen()
    tab.visit(f"{api.url}/")
    seen(tab, "Sign in")
    return tab


def seen(tab: Tab, text: str) -> None:
    wait_for(lambda: text in tab.text, _PATIENCE_S, f"{text!r} on the page")


def in_state(tab: Tab, selector: str, state: str) -> None:
    script = f"document.querySelector({json.dumps(selector)})?.textContent"
    wait_for(lambda: tab.run(script) == state, _PATIENCE_S, f"the state {state}")


def sign_in(tab: Tab, password: str = "password") -> None:
    tab.run("document.querySelectorAll('.sign-in input').forEach(field => field.value = '')")
    tab.type("[name=username]", "admin")
    tab.type("[name=password]", password)
    tab.press("Enter")


def signed_in(chrome: Browser, api: ApiServer) -> Tab:
    tab = opened(chrome, api)
    sign_in(tab)
    seen(tab, "Separate a song")
    return tab


def song(directory: Path, seconds: float = 1.0, seed: int = 0) -> Path:
    return audio.write(directory / f"song {seed}.wav", audio.noise(seconds, seed), "PCM_16")


def finished(task: Task, store: S3Store, prefix: str, directory: Path) -> Status:
    """The status of `task` with two stems and their peaks in the store."""
    stems, names = {}, ("vocals", "instrumental")
    peaks = Peaks(names, _SONG_S * SAMPLE_RATE, SAMPLE_RATE)
    for seed, name in enumerate(names):
        data = song(directory, _SONG_S, seed).read_bytes()
        peaks.add(name, soundfile.read(io.BytesIO(data), dtype="float32")[0])
        key = RunKeys(prefix, task.task_uuid, 1).stem(name, "wav")
        store.client().put_object(Bucket=store.bucket, Key=key, Body=data, ContentType="audio/wav")
        link = f"{store.endpoint_url}/{store.bucket}/{key}"
        digest = hashlib.sha256(data).hexdigest()
        stems[name] = PublishedStem(url=link, sha256=digest, bytes=len(data), duration_s=_SONG_S)
    peaks.write(directory / "peaks.json")
    body, key = (directory / "peaks.json").read_bytes(), RunKeys(prefix, task.task_uuid, 1).peaks
    store.client().put_object(Bucket=store.bucket, Key=key, Body=body)
    result = SuccessCallback(
        task_uuid=task.task_uuid, timestamp=task.submitted_at + 30, stems=stems, model="spleeter-2stems",
        device="cpu", expires_at=task.submitted_at + 3600,
    )  # fmt: skip
    times = {State.QUEUED: task.submitted_at, State.SEPARATING: task.submitted_at + 10.0}
    done = {"state": State.SUCCEEDED, "at": task.submitted_at + 30, "progress": 1.0, "result": result}
    times[State.SUCCEEDED] = task.submitted_at + 30
    return of_task(task).model_copy(update=done | {"times": times})


def complaints(tab: Tab) -> list[str]:
    """Without the lines that the browser writes for each answer that is an error."""
    return [text for text in map(json.dumps, tab.complaints) if "Failed to load resource" not in text]


@pytest.mark.slow
def test_a_song_is_sent_followed_heard_and_deleted(chrome, api, s3_store, tmp_path):
    tab = signed_in(chrome, api)
    assert findings(tab) == []
    tab.choose_files("input[type=file]", song(tmp_path))
    wait_for(lambda: api.publisher.tasks, _PATIENCE_S, "task")
    (task,) = api.publisher.tasks
    assert (task.user, task.file_name) == ("admin", "song 0.wav")
    in_state(tab, ".songs .state", "queued")
    prefix = api.app.state.parts.settings.s3_prefix
    done = finished(task, s3_store, prefix, tmp_path)
    api.view.tell(done)
    in_state(tab, ".songs .state", "done")

    tab.click(".songs a")
    seen(tab, "Save vocals")
    assert findings(tab) == []
    tab.run("document.querySelector('.player').focus()")
    tab.press(" ")
    wait_for(lambda: tab.run("uvrPlayer.position_s") > 1, _PATIENCE_S, "the stems to play")
    tab.run("uvrPlayer.seek(10)")
    wait_for(lambda: tab.run("uvrPlayer.position_s") > 11, _PATIENCE_S, "the stems to play on")
    wait_for(lambda: tab.run("uvrPlayer.spread_s") < _IN_STEP_S, _PATIENCE_S, "the stems to be in step")
    assert tab.run("uvrPlayer.tracks.every(track => track.gain)"), "the store allows no Web Audio"
    assert tab.run("document.querySelectorAll('.waveform').length") == 2
    assert 0.2 < tab.run(_DRAWN_SHARE) < 1
    tab.run(_CLICK_IN_THE_MIDDLE)
    assert _SONG_S / 2 - 1 < tab.run("uvrPlayer.position_s") < _SONG_S / 2 + 2
    tab.run("document.querySelector('.player').focus()")
    tab.press("1")
    assert tab.run("document.querySelector('[aria-label=\"Mute vocals\"]').ariaPressed") == "true"
    assert tab.run("document.querySelectorAll('.silent .waveform').length") == 1
    tab.click(".play")

    tab.click("article > .actions > .danger")
    assert findings(tab) == []
    tab.click("dialog .danger")
    wait_for(lambda: api.publisher.deletions, _PATIENCE_S, "deletion")
    deleted = {"deleted_at": done.at + 5, "at": done.at + 5, "result": None}
    api.view.tell(done.model_copy(update=deleted))
    in_state(tab, ".now .state", "deleted")
    assert complaints(tab) == []
    assert tab.challenges == []
    hosts = (f"{api.url}/", f"{s3_store.endpoint_url}/{s3_store.bucket}/{prefix}")
    assert [url for url in tab.requested if not url.startswith((*hosts, "data:"))] == []


def test_a_wrong_password_is_told_on_the_page(chrome, api):
    tab = opened(chrome, api)
    sign_in(tab, "wrong")
    seen(tab, "Wrong user name or password.")
    assert findings(tab) == []
    sign_in(tab)
    seen(tab, "No songs yet")
    tab.run("document.cookie = 'x=y'")
    assert tab.run("document.cookie") == "x=y"  # the session's cookie is no script's
    tab.click("header button")
    seen(tab, "Password")
    assert tab.run("fetch('tasks', {headers: {'X-UVR-CSRF': '1'}}).then(answer => answer.status)") == 401
    assert (complaints(tab), tab.challenges) == ([], [])


def test_a_session_that_ends_asks_for_the_password_again(chrome, api):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    tab.browser.call("Network.clearBrowserCookies", tab.session)
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")  # the list asks at once
    seen(tab, "Your session is over. Please sign in again.")
    assert tab.challenges == []


def test_what_the_api_refuses_is_told_in_its_words(chrome, api):
    tab = signed_in(chrome, api)
    tab.type("#link", "http://127.0.0.1/song.mp3")
    tab.press("Enter")
    seen(tab, "127.0.0.1")
    wait_for(lambda: tab.run("!!document.querySelector('.sending .problem')"), _PATIENCE_S, "the problem")
    assert findings(tab) == []
    assert api.publisher.tasks == []


def test_the_page_works_behind_a_path_prefix_and_in_chinese(chrome, s3_store, tmp_path):
    with api_server(prefix="/separation/v1", **settings(s3_store, tmp_path)) as api:
        tab = signed_in(chrome, api)
        tab.type("#link", "https://example.com/a%20song.mp3")
        tab.press("Enter")
        wait_for(lambda: api.publisher.tasks, _PATIENCE_S, "task")
        seen(tab, "a song.mp3")
        tab.run("{const field = document.querySelector('.language'); field.value = 'zh';"
                " field.dispatchEvent(new Event('change'))}")  # fmt: skip
        seen(tab, "分离歌曲")
        assert tab.run("document.documentElement.lang") == "zh-CN"
        tab.click(".songs a")
        seen(tab, "提交时间")
        assert findings(tab) == []
        tab.click(".actions > button")
        wait_for(lambda: api.publisher.cancels, _PATIENCE_S, "cancel")
        tab.run("localStorage.clear()")
        assert (complaints(tab), tab.challenges) == ([], [])


def test_the_newest_songs_come_first_and_older_ones_when_they_come_into_sight(chrome, api):
    first = Status(task_uuid=uuid4(), user="admin", submitted_at=1.0, state=State.FAILED, at=2.0)
    for number in range(70):
        change = {"task_uuid": uuid4(), "submitted_at": float(number + 1), "label": f"song {number}"}
        api.view.tell(first.model_copy(update=change))
    tab = signed_in(chrome, api)
    seen(tab, "song 69")
    assert tab.run("document.querySelectorAll('.songs li').length") < 70
    wait_for(
        lambda: tab.run("scrollTo(0, 1e6), document.querySelectorAll('.songs li').length") == 70,
        _PATIENCE_S,
        "all songs",
    )
    shown = tab.run("[...document.querySelectorAll('.songs a')].map(link => link.textContent)")
    assert shown == [f"song {number}" for number in reversed(range(70))]


def test_the_script_is_small():
    need_console()
    files = (REPOSITORY / "api" / "console" / "assets" / "console").iterdir()
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < 250_000
