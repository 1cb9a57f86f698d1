"""The console as `console/build.sh` has made it: journeys through it, and the rules of accessibility."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import pytest
import soundfile

from api.view.merge import of_task
from common.storage.bucket_keys import RunKeys
from common.tasks.messages import PublishedStem, State, Status, SuccessCallback, Task
from processor.audio.peaks import Peaks
from processor.audio.wav import SAMPLE_RATE
from tests.support import audio
from tests.support.browser import Browser, Tab
from tests.support.paths import REPOSITORY
from tests.support.servers import S3Store
from tests.support.waiting import wait_for

PATIENCE_S = 60
# Of the rules that the page keeps, axe-core would otherwise describe all places where it does.
_VIOLATIONS = """axe.run(document, { resultTypes: ["violations"] })
    .then(found => JSON.stringify(found.violations))"""
# The page gets the next answer of such an address once `letGo` is called.
_HOLD_NEXT_ANSWER = """(ending) => {
    const real = fetch;
    delete window.letGo;
    fetch = async (path, init) => {
        const answer = await real(path, init);
        if (path.endsWith(ending) && !window.letGo) await new Promise((go) => (window.letGo = go));
        return answer;
    };
}"""


class HasUrl(Protocol):
    """An api, in this process or of its own."""

    @property
    def url(self) -> str: ...


SONG_S = 20
_PAGE = REPOSITORY / "api" / "console" / "assets" / "index.html"
_AXE = REPOSITORY / ".local" / "console" / "node_modules" / "axe-core" / "axe.min.js"


def need_console() -> None:
    """Fail where the console was not built: ./run_tests.sh builds it, and says why it cannot."""
    if not (_PAGE.is_file() and _AXE.is_file()):
        pytest.fail("the console was not built: run console/build.sh, which needs npm's registry")


def findings(tab: Tab) -> list[str]:
    """What axe-core finds wrong with the page as it is now, by the rules of WCAG 2.2 A and AA and its own."""
    if not tab.run("!!window.axe"):
        tab.run(_AXE.read_text())
    violations: list[dict[str, Any]] = json.loads(tab.run(_VIOLATIONS))
    return [f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}" for one in violations]


def settings(store: S3Store, tmp_path: Path) -> dict[str, str | Path]:
    """The settings of an api with this store, whose objects have a prefix of their own."""
    return {
        "s3_endpoint_url": store.endpoint_url,
        "s3_bucket_name": store.bucket,
        "aws_access_key_id": store.access_key,
        "aws_secret_access_key": store.secret_key,
        "s3_prefix": f"{uuid4()}/",
        "view_file": tmp_path / "view",
    }


def opened(chrome: Browser, api: HasUrl) -> Tab:
    """A tab with the console, in which nobody is signed in."""
    tab = chrome.open("about:blank")
    tab.browser.call("Network.enable", tab.session)
    tab.browser.call("Network.clearBrowserCookies", tab.session)
    tab.listen()
    tab.visit(f"{api.url}/")
    seen(tab, "Sign in")
    return tab


def fill(tab: Tab, selector: str, value: str) -> None:
    """Puts `value` into a field or a list of choices, as its user does."""
    tab.run(
        f"{{const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(value)};"
        " for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true}))}"
    )


def seen(tab: Tab, text: str) -> None:
    wait_for(lambda: text in tab.text, PATIENCE_S, f"{text!r} on the page")


def in_state(tab: Tab, selector: str, state: str) -> None:
    script = f"document.querySelector({json.dumps(selector)})?.textContent"
    wait_for(lambda: tab.run(script) == state, PATIENCE_S, f"the state {state}")


def sign_in(tab: Tab, password: str = "password", user: str = "admin") -> None:
    tab.run("document.querySelectorAll('.sign-in input').forEach(field => field.value = '')")
    tab.type("[name=username]", user)
    tab.type("[name=password]", password)
    tab.press("Enter")


def signed_in(chrome: Browser, api: HasUrl) -> Tab:
    tab = opened(chrome, api)
    sign_in(tab)
    seen(tab, "Separate a song")
    return tab


def song(directory: Path, seconds: float = 1.0, seed: int = 0) -> Path:
    return audio.write(directory / f"song {seed}.wav", audio.noise(seconds, seed), "PCM_16")


def finished(
    task: Task,
    store: S3Store,
    prefix: str,
    directory: Path,
    stems: Mapping[str, np.ndarray] | None = None,
    format: str = "wav",
    subtype: str = "PCM_16",
) -> Status:
    """The status of `task` once its stems and their peaks are in the store.

    `stems` are float32 or int16 [frame, 2]; None stands for two of noise.
    """
    if stems is None:
        stems = {name: audio.noise(SONG_S, seed) for seed, name in enumerate(("vocals", "instrumental"))}
    frames = max(map(len, stems.values()))
    peaks, published = Peaks(stems, frames, SAMPLE_RATE), {}
    for name, samples in stems.items():
        data = audio.write(directory / f"{name}.{format}", samples, subtype).read_bytes()
        peaks.add(name, soundfile.read(io.BytesIO(data), dtype="float32")[0])
        key = RunKeys(prefix, task.task_uuid, 1).stem(name, format)
        store.client().put_object(Bucket=store.bucket, Key=key, Body=data, ContentType=f"audio/{format}")
        link = f"{store.endpoint_url}/{store.bucket}/{key}"
        digest, duration_s = hashlib.sha256(data).hexdigest(), frames / SAMPLE_RATE
        published[name] = PublishedStem(url=link, sha256=digest, bytes=len(data), duration_s=duration_s)
    peaks.write(directory / "peaks.json")
    body, key = (directory / "peaks.json").read_bytes(), RunKeys(prefix, task.task_uuid, 1).peaks
    store.client().put_object(Bucket=store.bucket, Key=key, Body=body)
    result = SuccessCallback(
        task_uuid=task.task_uuid, timestamp=task.submitted_at + 30, stems=published, model="spleeter-2stems",
        device="cpu", expires_at=task.submitted_at + 3600,
    )  # fmt: skip
    times = {State.QUEUED: task.submitted_at, State.SEPARATING: task.submitted_at + 10.0}
    done = {"state": State.SUCCEEDED, "at": task.submitted_at + 30, "progress": 1.0, "result": result}
    times[State.SUCCEEDED] = task.submitted_at + 30
    return of_task(task).model_copy(update=done | {"times": times})


def hold_next_answer(tab: Tab, ending: str) -> None:
    """Keeps the next answer of an address with this ending from the page. The api has answered by then."""
    tab.run(f"({_HOLD_NEXT_ANSWER})({json.dumps(ending)})")


def is_held(tab: Tab) -> None:
    wait_for(lambda: tab.run("!!window.letGo"), PATIENCE_S, "the answer")


def let_go(tab: Tab) -> None:
    """Hands the page the answer that was held."""
    tab.run("letGo()")


def drawn(tab: Tab) -> None:
    """Waits until the page has drawn what has changed, and has run the effects of that.

    A hidden tab draws nothing.
    """
    assert not tab.run("document.hidden"), "the tab is hidden: show it first"
    frame = "new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)))"
    for _ in range(2):
        tab.run(frame)


def drop(tab: Tab, selector: str, files: tuple[Path, ...] = (), **items: str) -> None:
    """Drags files, or texts by the names of their types, over what `selector` finds, and lets them go."""
    place = f"document.querySelector({selector!r}).getBoundingClientRect()"
    x, y = tab.run(f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])({place})")
    types = {"link": "text/uri-list", "text": "text/plain"}
    data = {
        "items": [{"mimeType": types[kind], "data": text} for kind, text in items.items()],
        "files": [str(file) for file in files],
        "dragOperationsMask": 1,
    }
    for kind in ("dragEnter", "dragOver", "drop"):
        tab.browser.call("Input.dispatchDragEvent", tab.session, type=kind, x=x, y=y, data=data)


def complaints(tab: Tab) -> list[str]:
    """Without the lines that the browser writes for each answer that is an error."""
    return [text for text in map(json.dumps, tab.complaints) if "Failed to load resource" not in text]
