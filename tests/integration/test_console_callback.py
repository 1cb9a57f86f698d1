"""What a song's page in the console shows of a song that is over: its callback's tries, and its removal."""

import time
from uuid import uuid4

import pytest

from common.tasks.messages import DeliveryAttempt, State, Status
from tests.support.browser import Tab
from tests.support.console import (
    PATIENCE_S,
    complaints,
    drawn,
    hold_next_answer,
    in_state,
    is_held,
    let_go,
    seen,
    signed_in,
)
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_HOOK = "https://example.com/hook"
# The page's own waits are 50 times as short, and shorter than the api takes to answer.
_ANSWER_LATE = """{
    const [later, every, ask] = [setTimeout, setInterval, fetch];
    setTimeout = (what, wait_ms) => later(what, wait_ms / 50);
    setInterval = (what, wait_ms) => every(what, wait_ms / 50);
    fetch = async (path, init) => {
        const answer = await ask(path, init);
        if (path.endsWith("/events")) await new Promise((go) => later(go, 200));
        return answer;
    };
}"""

# Waits of a second and more are kept in `waits`, to be ended at once. `asked` are the addresses of requests.
_KEEP_LONG_WAITS = """{
    const [later, ask] = [setTimeout, fetch];
    Object.assign(window, { waits: [], asked: [] });
    setTimeout = (what, wait_ms) => wait_ms >= 1000 ? waits.push(what) : later(what, wait_ms);
    fetch = (path, init) => (asked.push(path), ask(path, init));
}"""


def song(state: State, at: float = 2.0) -> Status:
    return Status(task_uuid=uuid4(), user="admin", submitted_at=1.0, at=at, state=state, hook_url=_HOOK)


def tried(task: Status, status: int) -> DeliveryAttempt:
    fields = {"try_number": 1, "started_at": 3.0, "took_s": 0.1, "status": status}
    return DeliveryAttempt(task_uuid=task.task_uuid, run=1, hook_url=_HOOK, **fields)


def show(tab: Tab, task: Status) -> None:
    tab.run(f"location.hash = '#/tasks/{task.task_uuid}'")


def shows_try(tab: Tab, status: str) -> None:
    script = "document.querySelector('#callback ~ .scroll td:nth-of-type(3)')?.textContent"
    wait_for(lambda: tab.run(script) == status, PATIENCE_S, f"a try with the answer {status}")


def test_a_try_that_becomes_known_after_the_songs_end_is_shown(chrome, api):
    task = song(State.FAILED, at=time.time())
    api.view.tell(task)
    tab = signed_in(chrome, api)
    show(tab, task)
    seen(tab, "No try yet.")
    api.view.tell(tried(task, 410))
    shows_try(tab, "410")
    assert complaints(tab) == []


def test_a_try_after_an_end_that_the_page_has_seen_is_shown_whatever_its_clock_says(chrome, api):
    task = song(State.DELIVERING)
    api.view.tell(task)
    tab = signed_in(chrome, api)
    show(tab, task)
    seen(tab, "No try yet.")
    api.view.tell(task.model_copy(update={"state": State.FAILED, "at": 4.0}))
    in_state(tab, ".now .state", "failed")
    drawn(tab)
    api.view.tell(tried(task, 410))
    shows_try(tab, "410")
    assert complaints(tab) == []


def test_tries_of_a_song_that_ended_long_ago_are_asked_for_once(chrome, api):
    task = song(State.FAILED)
    api.view.tell(task)
    tab = signed_in(chrome, api)
    tab.run(_KEEP_LONG_WAITS)
    show(tab, task)
    seen(tab, "No try yet.")
    drawn(tab)
    tab.run("waits.forEach((what) => what())")
    assert tab.run("asked.filter((path) => path.endsWith('/deliveries')).length") == 1


def test_an_older_answer_hides_no_try(chrome, api):
    task = song(State.DELIVERING)
    api.view.tell(task)
    tab = signed_in(chrome, api)
    hold_next_answer(tab, "/deliveries")
    show(tab, task)
    is_held(tab)
    api.view.tell(tried(task, 200), task.model_copy(update={"state": State.FAILED, "at": 4.0}))
    shows_try(tab, "200")
    let_go(tab)
    drawn(tab)
    assert "No try yet." not in tab.text
    assert complaints(tab) == []


def test_a_removal_is_seen_at_its_end_however_slowly_the_api_answers(chrome, api):
    task = song(State.FAILED)
    api.view.tell(task)
    tab = signed_in(chrome, api)
    show(tab, task)
    wait_for(lambda: tab.run("!!document.querySelector('dialog .danger')"), PATIENCE_S, "the song")
    tab.run(_ANSWER_LATE)
    tab.click("dialog .danger")
    wait_for(lambda: api.publisher.deletions, PATIENCE_S, "deletion")
    seen(tab, "The stems are being removed.")
    api.view.tell(task.model_copy(update={"deleted_at": 5.0, "at": 5.0}))
    in_state(tab, ".now .state", "deleted")
    assert complaints(tab) == []
