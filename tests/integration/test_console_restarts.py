"""Pages that are left open while the api and its broker are killed and start again, with the whole system."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.browser import Tab, browser
from tests.support.console import PATIENCE_S, complaints, need_console, seen, signed_in, song
from tests.support.http_server import Connection, Request, Script, serve
from tests.support.trio import Trio
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture
def broker(own_kafka):
    return own_kafka()


@pytest.fixture
def trio(stack, broker, s3_store, model_dir) -> Iterator[Trio]:
    with contextlib.closing(Trio(stack, broker.bootstrap, s3_store, model_dir, MODEL_NAME="centre")) as trio:
        yield trio.start()


def served_after(release: threading.Event, data: bytes) -> Script:
    def script(request: Request, connection: Connection) -> None:
        release.wait(PATIENCE_S)
        serve(data)(request, connection)

    return script


def states(tab: Tab) -> list[str]:
    return tab.run("[...document.querySelectorAll('.songs .state')].map(state => state.textContent)")


def test_open_pages_go_on_by_themselves_after_restarts(trio, broker, tmp_path: Path):
    need_console()
    api, release = trio.services["api"], threading.Event()
    address = trio.song(served_after(release, audio.write(tmp_path / "a.wav", audio.noise(1.0)).read_bytes()))
    with browser(tmp_path / "profile", "--lang=en") as chrome:
        page = signed_in(chrome, api)
        page.type("#link", address)
        page.press("Enter")
        wait_for(lambda: states(page) == ["downloading"], PATIENCE_S, "the song on its way")
        page.click(".songs a")
        seen(page, "so far")
        other = chrome.open(f"{api.url}/")
        seen(other, "song.wav")

        page.show()
        api.kill()
        broker.kill()
        seen(page, "The API does not answer.")
        other.choose_files("input[type=file]", song(tmp_path))
        seen(other, "The API does not answer.")
        broker.start()
        api.start()
        release.set()

        seen(page, "Save vocals")
        wait_for(lambda: "The API does not answer." not in page.text, PATIENCE_S, "the notice to go")
        other.show()
        wait_for(lambda: states(other) == ["done", "done"], PATIENCE_S, "both songs")
        wait_for(lambda: "The API does not answer." not in other.text, PATIENCE_S, "the notice to go")
        assert complaints(page) == []

        other.run("[...document.querySelectorAll('header button')].at(-1).click()")
        seen(other, "Password")
        page.run("dispatchEvent(new Event('focus'))")
        seen(page, "Password")
