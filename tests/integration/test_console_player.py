"""The console's player in a real Chromium with a real store. What is heard is taken from the sound itself."""

import base64
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import pytest
import requests

from common.tasks.messages import PublishedStem, State, Status, SuccessCallback, Task
from tests.support import audio
from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Browser, Tab, browser
from tests.support.console import PATIENCE_S, finished, need_console, seen, settings, signed_in
from tests.support.http_server import Connection, Request, Script, ScriptedServer, serve
from tests.support.servers import S3Store
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_SONG_S = 60
_IN_STEP_S = 0.02
# Takes the sum of all stems where the loudspeakers do, between two looks at the place of play: the page
# may be kept from its work at any point of it.
_LISTEN = """{
    const gains = uvrPlayer.tracks.map((track) => uvrPlayer.gainOf(track));
    const tap = new AnalyserNode(gains[0].context, { fftSize: 32768 });
    const left = new ChannelSplitterNode(gains[0].context);
    gains.forEach((gain) => gain.connect(left));
    left.connect(tap, 0);
    window.heard = () => {
        const samples = new Float32Array(tap.fftSize);
        const from_s = uvrPlayer.position_s;
        tap.getFloatTimeDomainData(samples);
        const to_s = uvrPlayer.position_s;
        const whole = Int16Array.from(samples, (sample) => Math.round(sample * 32768));
        const bytes = new Uint8Array(whole.buffer);
        let text = "";
        for (let at = 0; at < bytes.length; at += 8192)
            text += String.fromCharCode(...bytes.subarray(at, at + 8192));
        return [from_s, to_s, btoa(text)];
    };
}"""


@pytest.fixture(scope="module")
def module_chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need_console()
    flags = ("--window-size=800,600", "--lang=en", "--autoplay-policy=no-user-gesture-required")
    with browser(tmp_path_factory.mktemp("profile"), *flags) as started:
        yield started


def opened(
    chrome: Browser,
    api: ApiServer,
    store: S3Store,
    directory: Path,
    stems: Mapping[str, np.ndarray],
    *form: str,
) -> Tab:
    """The page of a song with these stems, ready to play."""
    prefix = api.app.state.parts.settings.s3_prefix
    return shown(chrome, api, finished(task_now(), store, prefix, directory, stems, *form))


def task_now() -> Task:
    return Task(task_uuid=uuid4(), audio="https://example.com/a.mp3", user="admin", submitted_at=time.time())


def shown(chrome: Browser, api: ApiServer, done: Status) -> Tab:
    """The page of a song, ready to play."""
    api.view.tell(done)
    tab = signed_in(chrome, api)
    tab.run(f"location.hash = '#/tasks/{done.task_uuid}'")
    seen(tab, "Save vocals")
    wait_for(lambda: tab.run("window.uvrPlayer?.isReady"), PATIENCE_S, "the player")
    return tab


def chrome_tab(chrome: Browser, api: ApiServer) -> Tab:
    """A page that may ask every host, and that keeps no stems."""
    tab = signed_in(chrome, api)
    tab.pass_over_policies()
    tab.browser.call("Network.setCacheDisabled", tab.session, cacheDisabled=True)
    tab.visit(f"{api.url}/?anew")
    seen(tab, "Separate a song")
    return tab


def held(release: threading.Event, script: Script) -> Script:
    def wait(request: Request, connection: Connection) -> None:
        assert release.wait(PATIENCE_S)
        script(request, connection)

    return wait


def song_of(seconds: float = _SONG_S) -> np.ndarray:
    """Real music, repeated: int16 [frame, 2]."""
    song = np.rint(audio.feelings(0.5).mix * 32767).astype(np.int16)
    return np.resize(song, (round(seconds * audio.SAMPLE_RATE), 2))


def plays_beyond(tab: Tab, position_s: float) -> None:
    wait_for(lambda: tab.run("uvrPlayer.position_s") > position_s, PATIENCE_S, f"play beyond {position_s} s")


class Heard(NamedTuple):
    """0.74 s of the left side, as int16; the place of play at their end lies between the two."""

    from_s: float
    to_s: float
    samples: np.ndarray


def heard(tab: Tab) -> Heard:
    from_s, to_s, text = tab.run("heard()")
    return Heard(from_s, to_s, np.frombuffer(base64.b64decode(text), np.int16))


@pytest.mark.slow
@pytest.mark.parametrize(("format", "subtype"), [("flac", "PCM_16"), ("flac", "PCM_24"), ("wav", "PCM_16")])
def test_stems_are_in_step_to_the_sample_and_without_a_gap(chrome, api, s3_store, tmp_path, format, subtype):
    song = song_of()
    stems = {"vocals": song, "instrumental": -song}
    tab = opened(chrome, api, s3_store, tmp_path, stems, format, subtype)
    tab.run("uvrPlayer.play()")
    plays_beyond(tab, 1)
    tab.run(_LISTEN)
    for to_s in (None, 41.3, 17.0):
        if to_s is not None:
            tab.run(f"uvrPlayer.seek({to_s})")
            plays_beyond(tab, to_s + 1)
        assert not heard(tab).samples.any(), "two stems of which one is the other upside down are silence"
    tab.run("uvrPlayer.set(uvrPlayer.tracks[1], { isMuted: true })")
    tab.run("uvrPlayer.seek(30)")
    covered_s = 31.0
    while covered_s < 35:  # over the edges of pieces, which have at most 3 s
        plays_beyond(tab, covered_s)
        from_s, to_s, samples = heard(tab)
        # Their beginning is at one place alone of those where it can be.
        first = round((from_s - _IN_STEP_S) * audio.SAMPLE_RATE) - len(samples)
        last = round((to_s + _IN_STEP_S) * audio.SAMPLE_RATE) - len(samples)
        beginning = samples[:16]
        windows = np.lib.stride_tricks.sliding_window_view(
            song[first : last + len(beginning), 0], len(beginning)
        )
        (place,) = first + np.flatnonzero((windows == beginning).all(axis=1))
        assert np.array_equal(song[place : place + len(samples), 0], samples)
        covered_s += 0.7


def flac_song(api: ApiServer, store: S3Store, directory: Path) -> Status:
    song, prefix = song_of(), api.app.state.parts.settings.s3_prefix
    return finished(task_now(), store, prefix, directory, {"vocals": song, "instrumental": song}, "flac")


def mp3_song(api: ApiServer, store: S3Store, directory: Path) -> Status:
    """Four minutes, of which browsers read one ahead. Frames of one size can be repeated."""
    prefix, piece_s, pieces = api.app.state.parts.settings.s3_prefix, 20, 12
    piece = {"options": {"write_xing": "0"}, "bit_rate": 320_000}
    data = audio.encode(directory / "a.mp3", audio.noise(piece_s), "libmp3lame", **piece).read_bytes()
    short = audio.noise(1)
    stems = {"vocals": short, "instrumental": short}
    done = finished(task_now(), store, prefix, directory, stems, "mp3", "MPEG_LAYER_III")
    assert done.result is not None
    put_all(store, prefix, ".mp3", data * pieces)
    known = {"bytes": len(data) * pieces, "duration_s": float(piece_s * pieces)}
    whole = {name: stem.model_copy(update=known) for name, stem in done.result.stems.items()}
    return done.model_copy(update={"result": done.result.model_copy(update={"stems": whole})})


def put_all(store: S3Store, prefix: str, ending: str, data: bytes) -> None:
    """Put `data` in place of all objects with this ending."""
    for key in store.object_keys(prefix):
        if key.endswith(ending):
            store.client().put_object(Bucket=store.bucket, Key=key, Body=data)


@pytest.mark.slow
@pytest.mark.parametrize(("song", "middle_s", "far_s"), [(flac_song, 20, 45), (mp3_song, 110, 220)])
def test_play_waits_for_a_network_that_is_away_and_links_that_are_over(
    chrome, s3_store, tmp_path, song, middle_s, far_s
):
    # A link's time begins with a whole second, and a busy machine needs a part of it.
    with api_server(**settings(s3_store, tmp_path), s3_url_expires_s=3) as api:
        tab = shown(chrome, api, song(api, s3_store, tmp_path))
        tab.run("uvrPlayer.play()")
        plays_beyond(tab, 4)  # after its links were over
        tab.run(f"uvrPlayer.seek({middle_s})")
        plays_beyond(tab, middle_s + 1)
        tab.network(offline=True)
        tab.run(f"uvrPlayer.seek({far_s})")
        seen(tab, "Waiting for the stems to arrive.")
        assert tab.run("uvrPlayer.position_s") == far_s
        tab.network()
        plays_beyond(tab, far_s + 1)
        wait_for(lambda: "Waiting for" not in tab.text, PATIENCE_S, "the word to go")
        assert tab.run("uvrPlayer.tracks.some(track => track.isBroken)") is False


def test_a_link_to_save_that_is_over_does_not_replace_the_page(chrome, s3_store, tmp_path):
    song = song_of(2)
    with api_server(**settings(s3_store, tmp_path), s3_url_expires_s=1) as api:
        tab = opened(chrome, api, s3_store, tmp_path, {"vocals": song, "instrumental": song}, "flac")
        link = tab.run("document.querySelector('.files a').href")
        wait_for(lambda: requests.get(link, timeout=PATIENCE_S).status_code == 403, PATIENCE_S, "its end")
        tab.run("window.isSame = true")
        tab.browser.call("Target.setDiscoverTargets", discover=True)
        tab.click(".files li:first-child a")
        wait_for(lambda: _is_open(tab.browser, link), PATIENCE_S, "a tab with the store's answer")
        assert tab.run("isSame"), "another page has come"


def _is_open(chrome: Browser, url: str) -> bool:
    targets = chrome.call("Target.getTargets")["targetInfos"]
    return any(target["url"] == url for target in targets)


def test_where_no_stem_can_be_played_the_player_stops(chrome, api, s3_store, tmp_path):
    song = song_of(5)
    stems = {"vocals": song, "instrumental": song}
    tab = opened(chrome, api, s3_store, tmp_path, stems, "mp3", "MPEG_LAYER_III")
    put_all(s3_store, api.app.state.parts.settings.s3_prefix, ".mp3", b"no song" * 1000)
    tab.visit(f"{api.url}/?anew{tab.run('location.hash')}")
    wait_for(lambda: tab.run("window.uvrPlayer?.isReady"), PATIENCE_S, "the player")
    tab.run("uvrPlayer.play()")
    for name in stems:
        seen(tab, f"{name} cannot be played here. Save the file instead.")
    wait_for(lambda: not tab.run("uvrPlayer.isPlaying"), PATIENCE_S, "the end")
    assert "Waiting for" not in tab.text


@pytest.mark.slow
def test_a_loop_is_played_again_and_a_song_ends(chrome, api, s3_store, tmp_path):
    song = song_of(12)
    tab = opened(chrome, api, s3_store, tmp_path, {"vocals": song, "instrumental": song}, "flac")
    tab.run("uvrPlayer.setLoop({ isOn: true, from_s: 2, to_s: 4 })")
    tab.run("uvrPlayer.seek(3); uvrPlayer.play()")
    plays_beyond(tab, 3.5)
    wait_for(lambda: tab.run("uvrPlayer.position_s") < 2.5, PATIENCE_S, "the loop's beginning")
    tab.run("uvrPlayer.setLoop({ isOn: false }); uvrPlayer.seek(11)")
    wait_for(lambda: not tab.run("uvrPlayer.isPlaying"), PATIENCE_S, "the end")
    assert tab.run("uvrPlayer.position_s") == 12
    tab.run("uvrPlayer.play()")
    wait_for(lambda: 0 < tab.run("uvrPlayer.position_s") < 5, PATIENCE_S, "the beginning")


@pytest.mark.slow
def test_other_formats_play_by_media_elements(chrome, api, s3_store, tmp_path):
    song = audio.noise(20)
    stems = {"vocals": song, "instrumental": song}
    tab = opened(chrome, api, s3_store, tmp_path, stems, "mp3", "MPEG_LAYER_III")
    tab.run("uvrPlayer.play()")
    plays_beyond(tab, 1)
    tab.run("uvrPlayer.seek(10)")
    plays_beyond(tab, 11)
    wait_for(lambda: tab.run("uvrPlayer.spread_s") < _IN_STEP_S, PATIENCE_S, "the stems to be in step")
    assert tab.run("uvrPlayer.tracks.every(track => uvrPlayer.gainOf(track))"), "no Web Audio"


@pytest.mark.slow
@pytest.mark.parametrize("format", ["wav", "mp3"])
def test_stems_of_a_bucket_that_forbids_the_page_to_read_them_play(chrome, api, tmp_path, format):
    song, release = audio.noise(5), threading.Event()
    subtype = {"wav": "PCM_16", "mp3": "MPEG_LAYER_III"}[format]
    data = audio.write(tmp_path / f"song.{format}", song, subtype).read_bytes()
    with ScriptedServer() as bucket:
        names = ("vocals", "instrumental")
        links = [bucket.on(f"/{name}.{format}", held(release, serve(data))) for name in names]
        stems = {
            name: PublishedStem(url=link, sha256="0" * 64, bytes=len(data), duration_s=5.0)
            for name, link in zip(names, links, strict=True)
        }
        began = time.time()
        done = {"task_uuid": uuid4(), "timestamp": began, "stems": stems, "model": "A", "device": "cpu"}
        result = SuccessCallback(**done)
        ended = {"state": State.SUCCEEDED, "submitted_at": began, "at": began, "result": result}
        api.view.tell(Status(task_uuid=result.task_uuid, user="admin", **ended))
        tab = chrome_tab(chrome, api)
        tab.run(f"location.hash = '#/tasks/{result.task_uuid}'")
        # The page shows the song before it has made the player.
        wait_for(lambda: tab.run("!!window.uvrPlayer"), PATIENCE_S, "the player")
        tab.run("uvrPlayer.seek(2); uvrPlayer.play()")
        release.set()  # the page is refused only now that it plays
        plays_beyond(tab, 2.5)
        assert tab.run("uvrPlayer.tracks.some(track => track.isBroken || uvrPlayer.gainOf(track))") is False


def test_a_stem_that_cannot_be_decoded_is_told_and_the_other_plays(chrome, api, s3_store, tmp_path):
    song = song_of(20)
    tab = opened(chrome, api, s3_store, tmp_path, {"vocals": song, "instrumental": song}, "flac")
    (key,) = [key for key in s3_store.object_keys(api.app.state.parts.settings.s3_prefix) if "vocals" in key]
    whole = s3_store.client().get_object(Bucket=s3_store.bucket, Key=key)["Body"].read()
    broken = whole[:8000] + bytes(len(whole) - 8000)
    s3_store.client().put_object(Bucket=s3_store.bucket, Key=key, Body=broken)
    tab.run("uvrPlayer.play()")
    seen(tab, "vocals cannot be played here. Save the file instead.")
    plays_beyond(tab, 1)
