"""Answers about the session that reach the console after a newer one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Browser, Tab, browser
from tests.support.console import (
    complaints,
    drawn,
    hold_next_answer,
    is_held,
    let_go,
    need_console,
    opened,
    seen,
    settings,
    sign_in,
    signed_in,
)
from tests.support.servers import S3Store

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need_console()
    with browser(tmp_path_factory.mktemp("profile"), "--window-size=1200,900", "--lang=en") as started:
        yield started


@pytest.fixture
def api(s3_store: S3Store, tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(**settings(s3_store, tmp_path)) as server:
        yield server


def ask(tab: Tab) -> None:
    """The page asks who is signed in, as whenever its tab comes into focus."""
    tab.run("dispatchEvent(new Event('focus'))")


def sign_out(tab: Tab) -> None:
    tab.run("[...document.querySelectorAll('header button')].at(-1).click()")


def test_an_answer_from_before_a_sign_in_does_not_undo_it(chrome, api):
    tab = opened(chrome, api)
    hold_next_answer(tab, "session")
    ask(tab)
    is_held(tab)
    sign_in(tab)
    seen(tab, "Signed in as admin")
    let_go(tab)
    drawn(tab)
    assert "Signed in as admin" in tab.text
    assert complaints(tab) == []


def test_an_answer_from_before_a_sign_out_does_not_undo_it(chrome, api):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    hold_next_answer(tab, "session")
    ask(tab)
    is_held(tab)
    sign_out(tab)
    seen(tab, "Password")
    let_go(tab)
    drawn(tab)
    assert "Signed in as admin" not in tab.text
    assert complaints(tab) == []


def test_a_refusal_from_before_a_sign_in_does_not_undo_it(chrome, api):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    tab.browser.call("Network.clearBrowserCookies", tab.session)
    hold_next_answer(tab, "limit=30")
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")  # the list asks at once
    is_held(tab)
    ask(tab)
    seen(tab, "Password")
    sign_in(tab)
    seen(tab, "Signed in as admin")
    let_go(tab)
    drawn(tab)
    assert "Signed in as admin" in tab.text
