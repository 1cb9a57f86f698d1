"""A real Chromium without a window, driven over a pipe by its own protocol (Chrome DevTools)."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_for

_PATIENCE_S = 60
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # Two hidden pages, which would be there in each browser and work all the time.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    "--remote-debugging-pipe",
)


def chromium() -> str:
    """The command's path. Without one the test fails in CI, and is skipped elsewhere."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    reason = "there is no Chromium: install it (Debian, Ubuntu: apt-get install chromium)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class PageGone(Exception):
    """The browser could not do it, such as in a page that was left meanwhile."""


@dataclass
class Browser:
    """One with a fresh profile. Used by one thread."""

    to: int
    back: int
    events: list[dict[str, Any]] = field(default_factory=list)
    _last_id: int = 0
    _rest: bytes = b""

    def open(self, url: str) -> "Tab":
        """A new tab in which somebody has typed `url`; returns once the page is there."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        tab.visit(url)
        return tab

    def close_tabs(self) -> None:
        """Closes all tabs, also those that pages have opened, and forgets what happened in them."""
        for target in self.call("Target.getTargets")["targetInfos"]:
            if target["attached"] or "openerId" in target:  # not the page that the browser has begun with
                self.call("Target.closeTarget", targetId=target["targetId"])
        self.events.clear()

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The protocol's answer. Raises PageGone for one that is an error, TimeoutError for none."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            answer = self._message(deadline_s)
            if answer.get("id") == self._last_id:
                if "error" in answer:
                    raise PageGone(answer["error"]["message"])
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def _message(self, deadline_s: float) -> dict[str, Any]:
        """The next answer or event."""
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.back], [], [], max(0.0, deadline_s - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            chunk = os.read(self.back, 1 << 16)
            assert chunk, "the browser has ended"
            self._rest += chunk
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)


@dataclass(frozen=True)
class Tab:
    browser: Browser
    session: str = field(repr=False)

    def visit(self, url: str) -> None:
        self.browser.call("Page.enable", self.session)
        loader = self.browser.call("Page.navigate", self.session, url=url).get("loaderId")
        wait_for(lambda: self._shows(loader), _PATIENCE_S, f"page of {url}")

    def _shows(self, loader: str | None) -> bool:
        """Whether the document of this navigation is there; None: it was a move within the document."""
        try:
            is_complete = self.run("document.readyState") == "complete"
        except PageGone:
            return False
        # The page before answers until then, on a busy machine after the browser has said that it navigates.
        navigated = [event["frame"]["loaderId"] for event in self._heard("Page.frameNavigated")]
        return is_complete and (loader is None or loader in navigated)

    def run(self, script: str) -> Any:
        """The value of an expression, waited for if it is a promise. Raises AssertionError when it throws."""
        answer = self.browser.call(
            "Runtime.evaluate",
            self.session,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def listen(self) -> None:
        """Notes what the page asks for and complains of from now on."""
        for domain in ("Log", "Network", "Runtime"):
            self.browser.call(f"{domain}.enable", self.session)

    def _heard(self, method: str) -> list[dict[str, Any]]:
        events = self.browser.events
        return [e["params"] for e in events if e.get("sessionId") == self.session and e["method"] == method]

    @property
    def requested(self) -> list[str]:
        """The addresses that the page has asked for since `listen`."""
        return [event["request"]["url"] for event in self._heard("Network.requestWillBeSent")]

    @property
    def challenges(self) -> list[str]:
        """The addresses whose answers asked for a password, in a window of the browser's own."""
        answers = [event["response"] for event in self._heard("Network.responseReceived")]
        return [one["url"] for one in answers if "www-authenticate" in map(str.lower, one["headers"])]

    @property
    def complaints(self) -> list[Any]:
        """Errors and warnings since `listen`, of the browser (such as the page's policy) and of scripts."""
        logged = [event["entry"] for event in self._heard("Log.entryAdded")]
        said = [event for event in self._heard("Runtime.consoleAPICalled")]
        return [
            *(entry for entry in logged if entry["level"] in ("warning", "error")),
            *(event for event in said if event["type"] in ("warning", "error", "assert")),
            *self._heard("Runtime.exceptionThrown"),
        ]

    def type(self, selector: str, text: str) -> None:
        """Types into the field that `selector` finds."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.browser.call("Input.insertText", self.session, text=text)

    def click(self, selector: str) -> None:
        """Clicks all that `selector` finds."""
        self.run(f"document.querySelectorAll({json.dumps(selector)}).forEach(found => found.click())")

    def choose_files(self, selector: str, *files: Path) -> None:
        """Chooses files in the field that `selector` finds, as its user does in the window of the system."""
        found = self.browser.call(
            "Runtime.evaluate", self.session, expression=f"document.querySelector({json.dumps(selector)})"
        )
        handle = found["result"]["objectId"]
        self.browser.call(
            "DOM.setFileInputFiles", self.session, objectId=handle, files=[str(file) for file in files]
        )

    def press(self, key: str) -> None:
        """Presses a key where the focus is."""
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.browser.call("Input.dispatchKeyEvent", self.session, type=kind, key=key, **text)

    def network(self, offline: bool = False, upload_bytes_per_s: int = -1) -> None:
        """Takes the tab's network away, or gives it back; -1: as fast as it is."""
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": upload_bytes_per_s}
        self.browser.call("Network.emulateNetworkConditions", self.session, offline=offline, **speed)

    def look(self, width: int, theme: str = "light", height: int = 900) -> None:
        """Makes the window so wide and high, in CSS pixels, for a user of a `light` or `dark` theme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.call("Emulation.setDeviceMetricsOverride", self.session, **size)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.browser.call("Emulation.setEmulatedMedia", self.session, features=features)

    def picture(self, file: Path) -> None:
        """Writes the whole page as PNG."""
        answer = self.browser.call(
            "Page.captureScreenshot", self.session, format="png", captureBeyondViewport=True
        )
        file.write_bytes(base64.b64decode(answer["data"]))

    def show(self) -> None:
        """Brings the tab to the front, as a click on it does. The others are hidden then."""
        self.browser.call("Page.bringToFront", self.session)

    def pass_over_policies(self) -> None:
        """The page's content security policy no longer keeps a test's script from making requests."""
        self.browser.call("Page.setBypassCSP", self.session, enabled=True)

    @property
    def text(self) -> str:
        """That of the page; empty while another one comes in its place."""
        try:
            return self.run("document.documentElement?.textContent ?? ''")
        except PageGone:
            return ""


@contextmanager
def browser(profile: Path, *flags: str) -> Iterator[Browser]:
    """`profile` is a directory of its own."""
    command = [chromium(), *_FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
    their_in, to = os.pipe()
    back, their_out = os.pipe()
    # It reads from descriptor 3 and writes to 4, which a shell can give it whatever ours are.
    shell = ["bash", "-c", f'exec 3<&{their_in} 4>&{their_out}; exec "$@"', "bash", *command]
    process = subprocess.Popen(
        shell,
        pass_fds=(their_in, their_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(their_in)
    os.close(their_out)
    try:
        yield Browser(to, back)
    finally:
        os.close(to)
        os.killpg(process.pid, signal.SIGKILL)  # its helpers as well
        process.wait(_PATIENCE_S)
        os.close(back)
