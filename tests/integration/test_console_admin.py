"""The administrators' pages in a real Chromium, against real services with a real dead letter."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.browser import Browser, Tab, browser
from tests.support.console import findings, need_console
from tests.support.http_server import in_turn, serve
from tests.support.trio import Trio
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_PATIENCE_S = 60


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Browser]:
    need_console()
    with browser(tmp_path / "profile", "--window-size=1200,1600", "--lang=en") as started:
        yield started


def seen(tab: Tab, text: str) -> None:
    wait_for(lambda: text in tab.text, _PATIENCE_S, f"{text!r} on the page")


def sign_in(tab: Tab, url: str) -> None:
    tab.listen()
    tab.visit(f"{url}/")
    seen(tab, "Sign in")
    tab.type("[name=username]", "admin")
    tab.type("[name=password]", "password")
    tab.press("Enter")
    seen(tab, "Administration")


def go(tab: Tab, place: str, text: str) -> None:
    tab.run(f"location.hash = '#/admin/{place}'")
    # The page before may show the same text.
    shown = f"!!document.querySelector('nav [aria-current=page][href=\"#/admin/{place}\"]')"
    wait_for(lambda: tab.run(shown), _PATIENCE_S, f"page {place}")
    seen(tab, text)
    assert findings(tab) == [], place


@pytest.mark.slow
def test_a_dead_letter_is_seen_replayed_and_done(chrome, stack, kafka, s3_store, model_dir, tmp_path: Path):
    song = audio.write(tmp_path / "mix.wav", audio.noise(2.0), subtype="PCM_16").read_bytes()
    away = serve(b"away", 503, "text/plain")
    trio = Trio(
        stack, kafka.bootstrap, s3_store, model_dir, MODEL_NAME="centre", ADMIN_USERNAMES="admin"
    )  # fmt: skip
    with contextlib.closing(trio):
        trio.start()
        task_uuid = trio.submit(trio.song(in_turn(away, away, away, serve(song))))
        assert trio.wait_for_callback(task_uuid).json["error_code"] == "http_error"
        tab = chrome.open("about:blank")
        sign_in(tab, trio.services["api"].url)
        go(tab, "dead-letters", "http_error")
        letter = "document.querySelector('.letters input')"
        wait_for(lambda: tab.run(f"!!{letter}"), _PATIENCE_S, "the letter")
        tab.run(f"{letter}.focus()")
        tab.press(" ")
        seen(tab, "Replay 1")
        tab.click(".toolbar button")
        seen(tab, "replayed as run 2.")
        seen(tab, "No dead letters wait.")

        wait_for(lambda: len(trio.callbacks(task_uuid)) > 1, _PATIENCE_S, "second callback")
        assert trio.callbacks(task_uuid)[1].json["status"] == "success"
        go(tab, "failures", "http_error")  # what failed in this hour stays a failure of it
        assert tab.run("document.querySelectorAll('.plot rect').length") == 1
        go(tab, "queue", "1 failed, 0 cancelled")
        go(tab, "workers", "Nothing at the moment")
        go(tab, "users", "admin")
        tab.run(f"location.hash = '#/tasks/{task_uuid}'")
        seen(tab, "Save vocals")
        assert [text for text in map(str, tab.complaints) if "Failed to load resource" not in text] == []
