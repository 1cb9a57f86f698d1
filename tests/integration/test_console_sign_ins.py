"""Answers about the session that reach the console after a newer one."""

import pytest

from tests.support.api.api_server import ApiServer
from tests.support.browser import Browser, Tab
from tests.support.console import (
    PATIENCE_S,
    complaints,
    drawn,
    hold_next_answer,
    is_held,
    let_go,
    opened,
    seen,
    sign_in,
    signed_in,
)
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_NO_ANSWER = "Please try again."
_LOSE_ANSWER_TO_SIGN_OUT = """{
    const real = fetch;
    fetch = async (path, init) => {
        const answer = await real(path, init);
        return init?.method === "DELETE" ? new Response("proxy", { status: 502 }) : answer;
    };
}"""
_ANSWER_NO_QUESTION = """{
    const real = fetch;
    fetch = (path, init) =>
        path === "session" && init.method === "GET" ? new Promise(() => {}) : real(path, init);
}"""


def ask(tab: Tab) -> None:
    """The page asks who is signed in, as whenever its tab comes into focus."""
    tab.run("dispatchEvent(new Event('focus'))")


def sign_out(tab: Tab) -> None:
    tab.run("[...document.querySelectorAll('header button')].at(-1).click()")


def let_list_ask(tab: Tab) -> None:
    """The list of songs asks at once, as whenever its tab is seen again."""
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")


def hold_refusal_of_list(tab: Tab) -> None:
    """The session ends, and the page has not heard of it yet."""
    hold_next_answer(tab, "limit=30")
    tab.browser.call("Network.clearBrowserCookies", tab.session)
    let_list_ask(tab)
    is_held(tab)


def sign_in_in_another_tab(chrome: Browser, api: ApiServer, tab: Tab) -> None:
    other = chrome.open(f"{api.url}/")
    seen(other, "Sign in")
    sign_in(other)
    seen(other, "Signed in as admin")
    tab.show()


def sign_out_without_an_answer(tab: Tab) -> None:
    """The session has ended, and the page is told of an error."""
    tab.run(_LOSE_ANSWER_TO_SIGN_OUT)
    sign_out(tab)
    seen(tab, _NO_ANSWER)


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
    hold_refusal_of_list(tab)
    ask(tab)
    seen(tab, "Password")
    sign_in(tab)
    seen(tab, "Signed in as admin")
    let_go(tab)
    drawn(tab)
    assert "Signed in as admin" in tab.text


def test_a_refusal_from_before_a_sign_in_in_another_tab_does_not_undo_it(chrome, api):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    hold_refusal_of_list(tab)
    sign_in_in_another_tab(chrome, api, tab)
    let_go(tab)
    drawn(tab)
    seen(tab, "Signed in as admin")


def test_a_refusal_drops_no_newer_answer(chrome, api):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    hold_refusal_of_list(tab)
    sign_in_in_another_tab(chrome, api, tab)
    tab.run("window.refuse = letGo, 0")
    hold_next_answer(tab, "session")
    ask(tab)
    is_held(tab)
    tab.run("refuse()")
    drawn(tab)
    let_go(tab)
    seen(tab, "Signed in as admin")


def test_an_unanswered_sign_out_that_is_known_to_have_happened_is_no_longer_a_problem(chrome, api):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    sign_out_without_an_answer(tab)
    let_list_ask(tab)
    seen(tab, "Password")
    wait_for(lambda: _NO_ANSWER not in tab.text, PATIENCE_S, "the problem's end")


def test_a_sign_in_ends_the_problem_of_an_unanswered_sign_out(chrome, api):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    sign_out_without_an_answer(tab)
    tab.run(_ANSWER_NO_QUESTION)
    let_list_ask(tab)
    seen(tab, "Password")
    sign_in(tab)
    seen(tab, "Signed in as admin")
    wait_for(lambda: _NO_ANSWER not in tab.text, PATIENCE_S, "the problem's end")
