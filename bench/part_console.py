"""Measures the console in Chromium: its first page, its list of many tasks, and a long song with four stems.

A stall is the longest time between two pictures that the browser draws. How far stems are apart is taken from
their sound, ten times a second. Memory is that of the page's process.
"""

import hashlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import psutil
import soundfile

from api.view.merge import of_task
from bench.browser_trace import longest_task
from bench.report import Row, Target
from bench.setup import Bench, store
from common.storage.bucket_keys import RunKeys
from common.tasks.messages import PublishedStem, State, Status, SuccessCallback, Task
from processor.audio.peaks import Peaks
from processor.audio.wav import SAMPLE_RATE
from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Browser, Tab, browser
from tests.support.console import need_console, opened, seen, settings, sign_in
from tests.support.servers import S3Store
from tests.support.waiting import wait_for

_PATIENCE_S = 120
_STEMS = ("vocals", "drums", "bass", "other")
_BLOCK_S = 10
_SEEK_EVERY_S = 15
_BATCH = 500
# All stems click at once, louder than they are else.
_CLICK_LEVEL, _CLICK_EVERY = 0.9, SAMPLE_RATE // 2
_FLAGS = ("--lang=en", "--window-size=1280,900", "--autoplay-policy=no-user-gesture-required")

# Notes when the first song is in the list, in milliseconds since the address was typed.
_WATCH_THE_LIST = """
new MutationObserver((_, watch) => {
    if (!document.querySelector(".songs li")) return;
    window.usable_ms = performance.now();
    watch.disconnect();
}).observe(document, { childList: true, subtree: true });
"""
_SCROLL = """{
    window.stall_ms = 0;
    let before = performance.now();
    const step = (now) => {
        window.stall_ms = Math.max(window.stall_ms, now - before);
        before = now;
        scrollBy(0, 900);
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
}"""
# Takes the sound of each stem on its way out, and notes how far apart the stems' clicks are, in samples.
# A look during which sound went on does not count.
_WATCH_THE_CLICKS = """{
    const taps = uvrPlayer.tracks.map((track) => {
        const gain = uvrPlayer.gainOf(track), tap = new AnalyserNode(gain.context, { fftSize: 32768 });
        gain.connect(tap);
        return tap;
    });
    const samples = new Float32Array(32768);
    const lastClick = (tap) => {
        tap.getFloatTimeDomainData(samples);
        return samples.findLastIndex((sample) => Math.abs(sample) > CLICK_LEVEL);
    };
    window.spreads = [];
    setInterval(() => {
        const places = [...taps, taps[0]].map(lastClick);
        if (places.includes(-1) || places[0] !== places.at(-1)) return;
        const apart = places.map((place) => {
            const behind = Math.abs(place - places[0]) % CLICK_EVERY;
            return Math.min(behind, CLICK_EVERY - behind);
        });
        window.spreads.push(Math.max(...apart));
    }, 100);
}"""


def run(bench: Bench) -> None:
    need_console()
    directory = bench.scratch("console")
    with store(bench) as s3, api_server(**settings(s3, directory)) as api:
        _fill(api, bench.sizes.console_tasks)
        song = _long_song(api, s3, directory, bench.sizes.console_song_s)
        profile = directory / "profile"
        with browser(profile, *_FLAGS) as chrome:
            tab = opened(chrome, api)
            sign_in(tab)
            seen(tab, "song 0")
            _measure_first_page(bench, tab, api)
            _measure_list(bench, tab)
            tab.visit("about:blank")  # ends the scrolling
            _measure_song(bench, chrome, api, song, profile)


def _fill(api: ApiServer, count: int) -> None:
    now_s = time.time()
    told = []
    for number in range(count):
        submitted_s = now_s - number
        named = {"task_uuid": UUID(int=number + 1), "submitted_at": submitted_s, "label": f"song {number}"}
        told.append(Status(user="admin", state=State.FAILED, at=submitted_s + 1, **named))
    for first in range(0, count, _BATCH):
        api.view.tell(*told[first : first + _BATCH])


def _blocks(seconds: float, number: int) -> Iterator[np.ndarray]:
    """Yield float32 [frame, 2]: a chord that swells and fades, another one for each stem, and clicks."""
    times_s = np.arange(_BLOCK_S * SAMPLE_RATE) / SAMPLE_RATE
    pitches_hz = 110 * (number + 1) * np.array([1, 1.25, 1.5])
    tones = np.sin(2 * np.pi * np.outer(times_s, pitches_hz)).mean(axis=1) * np.sin(
        np.pi * times_s / _BLOCK_S
    )
    noise = np.random.default_rng(number).normal(0, 1e-4, (len(times_s), 2))
    block = (0.5 * tones[:, None] + noise).astype(np.float32)
    block[::_CLICK_EVERY] = _CLICK_LEVEL
    return itertools.repeat(block, round(seconds / _BLOCK_S))


def _long_song(api: ApiServer, s3: S3Store, directory: Path, seconds: float) -> str:
    """Put the stems of a task into the store, as FLAC, and return the task's id."""
    task = Task(
        task_uuid=UUID(int=0), audio="https://example.com/long.mp3", user="admin", submitted_at=time.time()
    )
    prefix = api.app.state.parts.settings.s3_prefix
    keys, stems = RunKeys(prefix, task.task_uuid, 1), {}
    peaks = Peaks(_STEMS, round(seconds * SAMPLE_RATE), SAMPLE_RATE)
    for number, name in enumerate(_STEMS):
        path = directory / f"{name}.flac"
        with soundfile.SoundFile(path, "w", SAMPLE_RATE, 2, "PCM_16") as file:
            for block in _blocks(seconds, number):
                file.write(block)
                peaks.add(name, block)
        key = keys.stem(name, "flac")
        s3.client().upload_file(str(path), s3.bucket, key, ExtraArgs={"ContentType": "audio/flac"})
        with path.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        link, size = f"{s3.endpoint_url}/{s3.bucket}/{key}", path.stat().st_size
        stems[name] = PublishedStem(url=link, sha256=digest, bytes=size, duration_s=seconds)
        path.unlink()
    peaks.write(directory / "peaks.json")
    s3.client().upload_file(str(directory / "peaks.json"), s3.bucket, keys.peaks)
    now_s = time.time()
    result = SuccessCallback(
        task_uuid=task.task_uuid,
        timestamp=now_s,
        stems=stems,
        model="m",
        device="cpu",
        expires_at=now_s + 3600,
    )
    done = {"state": State.SUCCEEDED, "at": now_s, "progress": 1.0, "result": result}
    api.view.tell(of_task(task).model_copy(update=done))
    return str(task.task_uuid)


def _measure_first_page(bench: Bench, tab: Tab, api: ApiServer) -> None:
    """With an empty cache, from the address to the list of songs."""
    tab.browser.call("Network.setCacheDisabled", tab.session, cacheDisabled=True)
    tab.browser.call("Page.addScriptToEvaluateOnNewDocument", tab.session, source=_WATCH_THE_LIST)
    found_s = []
    for _ in range(max(3, bench.sizes.repeats)):
        tab.visit("about:blank")
        tab.visit(f"{api.url}/")
        found_s.append(wait_for(lambda: tab.run("window.usable_ms"), _PATIENCE_S, "the list") / 1000)
    what = "the first page is usable after, the slowest time"
    bench.add(Row("console", what, "s", max(found_s), max(found_s), target=Target("at most", 1)))


def _measure_list(bench: Bench, tab: Tab) -> None:
    """Scroll through all tasks, 900 pixels a picture, while further pages of the list are loaded."""
    count = bench.sizes.console_tasks
    last = f"[...document.querySelectorAll('.songs a')].at(-1).textContent === 'song {count - 1}'"
    with longest_task(tab) as longest:
        tab.run(_SCROLL)
        wait_for(lambda: tab.run(last), _PATIENCE_S, "the last song")
    stall_ms = tab.run("window.stall_ms")
    drawn = tab.run("document.querySelectorAll('.songs li').length")
    what = f"scrolling through {count} tasks, {drawn} rows drawn: the longest stall"
    bench.add(Row("console", what, "ms", stall_ms, stall_ms, target=Target("at most", 100)))
    what, cpu_ms = "the same: the longest task of the page, in CPU time", longest.cpu_ms
    bench.add(Row("console", what, "ms", cpu_ms, cpu_ms, target=Target("at most", 100)))


def _measure_song(bench: Bench, chrome: Browser, api: ApiServer, song: str, profile: Path) -> None:
    """Open the song in a tab and process of its own, play it, and jump to random places."""
    first = max(_pages(profile), key=_memory_bytes)
    began_s = time.monotonic()
    tab = chrome.open(f"{api.url}/#/tasks/{song}")
    ready = "document.querySelectorAll('.waveform').length === 4 && uvrPlayer.isReady"
    wait_for(lambda: tab.run(ready), _PATIENCE_S, "the player")
    opened_s = time.monotonic() - began_s
    length = f"{bench.sizes.console_song_s / 60:g} min with four stems"
    what = f"{length}, from the address to the waveforms"
    bench.add(Row("console", what, "s", opened_s, opened_s, target=Target("at most", 2)))
    page = max((each for each in _pages(profile) if each != first), key=_memory_bytes)
    _play(bench, tab, page, length)


def _play(bench: Bench, tab: Tab, page: psutil.Process, length: str) -> None:
    tab.run("uvrPlayer.play()")
    wait_for(lambda: tab.run("uvrPlayer.position_s") > 0, _PATIENCE_S, "the stems to sound")
    level, every = str(0.9 * _CLICK_LEVEL), str(_CLICK_EVERY)
    tab.run(_WATCH_THE_CLICKS.replace("CLICK_LEVEL", level).replace("CLICK_EVERY", every))
    own_mb, whole_mb, until_s = 0.0, 0.0, time.monotonic() + bench.sizes.console_play_s
    places = np.random.default_rng(bench.shuffle.randrange(1 << 30))
    seek_s = time.monotonic() + _SEEK_EVERY_S
    while time.monotonic() < until_s:
        time.sleep(0.5)
        memory = page.memory_full_info()
        own_mb, whole_mb = max(own_mb, memory.pss / 1e6), max(whole_mb, memory.rss / 1e6)
        if time.monotonic() > seek_s:
            tab.run(f"uvrPlayer.seek({places.uniform(0, 0.95)} * uvrPlayer.duration_s)")
            seek_s += _SEEK_EVERY_S
    looks_ms = 1000 * np.array(tab.run("window.spreads")) / SAMPLE_RATE
    heap_mb = tab.run("performance.memory.usedJSHeapSize") / 1e6
    played = f"{bench.sizes.console_play_s:g} s of play, a seek each {_SEEK_EVERY_S} s, {len(looks_ms)} looks"
    what, apart_ms = f"{played}: stems that sound are apart by at most", looks_ms.max()
    bench.add(Row("console", what, "ms", apart_ms, apart_ms, target=Target("at most", 20)))
    what = f"{length}: the page's process while it plays, with its share of what processes share"
    bench.add(Row("console", what, "MB", own_mb, own_mb, whole_mb, "resident", Target("at most", 300)))
    bench.add(Row("console", f"{length}: of it scripts and their data", "MB", heap_mb, heap_mb))


def _pages(profile: Path) -> list[psutil.Process]:
    """Return the processes in which the browser with this profile draws pages."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "--type=renderer" in command and any(str(profile) in word for word in command):
            found.append(process)
    return found


def _memory_bytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss)
