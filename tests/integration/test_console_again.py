"""A song that is separated again with other choices, on a form that begins from an earlier task."""

from uuid import uuid4

import pytest

from common.tasks.messages import Choices, State, Status
from tests.support.api.api_server import ApiServer
from tests.support.browser import Tab
from tests.support.console import (
    PATIENCE_S,
    complaints,
    drawn,
    drop,
    findings,
    hold_next_answer,
    is_held,
    let_go,
    seen,
    signed_in,
    song,
)
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_FILES = "input[type=file]"
# What is dropped, and what is only dragged over the page, is the browser's unless somebody prevents that.
_NOTE_DROPS = """{
    window.leftToBrowser = [];
    const note = (event) => event.defaultPrevented || leftToBrowser.push(event.type);
    for (const type of ["dragover", "drop"]) addEventListener(type, note);
}"""
_HAS_FOCUS = "document.activeElement === document.querySelector('.language')"


@pytest.fixture
def earlier(api: ApiServer) -> Status:
    link = "https://example.com/first.mp3"
    known = {"audio": link, "label": "first", "choices": Choices(start_s=60.0)}
    task = Status(task_uuid=uuid4(), user="admin", submitted_at=1.0, at=2.0, state=State.FAILED, **known)
    api.view.tell(task)
    return task


def form(tab: Tab) -> list[str]:
    """The parts of the form by which a song can be sent, or its choices made."""
    parts = [_FILES, "#link", ".choices"]
    seen_script = "document.querySelector({!r})?.checkVisibility()"
    return [part for part in parts if tab.run(seen_script.format(f".submit {part}"))]


def test_nothing_is_sent_before_the_choices_of_the_earlier_song_are_there(chrome, api, earlier, tmp_path):
    tab = signed_in(chrome, api)
    hold_next_answer(tab, str(earlier.task_uuid))
    tab.run(f"location.hash = '#/again/{earlier.task_uuid}'")
    is_held(tab)
    seen(tab, "Loading the choices of the earlier song.")
    assert (form(tab), findings(tab)) == ([], [])
    tab.run(_NOTE_DROPS)
    drop(tab, ".submit", (song(tmp_path),))
    drop(tab, ".submit", link="https://example.com/dropped.mp3")
    assert tab.run("leftToBrowser") == [], "the browser would open it in place of the page"
    tab.run("document.querySelector('.language').focus()")
    let_go(tab)
    seen(tab, "Again: first")
    drawn(tab)
    assert tab.run(_HAS_FOCUS), "the late answer has moved the focus"
    tab.choose_files(_FILES, song(tmp_path, seed=1))
    wait_for(lambda: api.publisher.tasks, PATIENCE_S, "task")
    sent = [(task.file_name, task.choices.start_s) for task in api.publisher.tasks]
    assert sent == [("song 1.wav", 60.0)]
    assert complaints(tab) == []


def test_a_late_answer_leaves_the_focus_on_the_link_to_a_new_song_and_is_told(chrome, api, earlier):
    tab = signed_in(chrome, api)
    hold_next_answer(tab, str(earlier.task_uuid))
    tab.run(f"location.hash = '#/again/{earlier.task_uuid}'")
    is_held(tab)
    seen(tab, "Loading the choices of the earlier song.")
    tab.run("document.querySelector('.earlier a').focus()")
    tab.run("window.told = document.querySelector('.earlier [role=status]'), 0")
    let_go(tab)
    seen(tab, "Again: first")
    drawn(tab)
    assert tab.run("document.activeElement === document.querySelector('.earlier a')")
    assert tab.run("told.isConnected && told.checkVisibility()"), "screen readers hear only of one that stays"
    assert tab.run("told.textContent").startswith("The link is shown without its query")
    assert (findings(tab), complaints(tab)) == ([], [])


def test_an_earlier_song_that_is_unknown_is_told_with_a_way_to_the_ordinary_form(chrome, api):
    tab = signed_in(chrome, api)
    tab.run(f"location.hash = '#/again/{uuid4()}'")
    wait_for(lambda: tab.run("!!document.querySelector('.submit [role=alert]')"), PATIENCE_S, "the problem")
    assert (form(tab), findings(tab)) == ([], [])
    tab.click(".earlier a")
    wait_for(lambda: len(form(tab)) == 3, PATIENCE_S, "the ordinary form")
    assert complaints(tab) == []


def test_a_song_that_arrives_late_on_its_page_leaves_the_focus_where_it_is(chrome, api, earlier):
    tab = signed_in(chrome, api)
    hold_next_answer(tab, f"{earlier.task_uuid}/events")
    tab.run(f"location.hash = '#/tasks/{earlier.task_uuid}'")
    is_held(tab)
    wait_for(lambda: tab.run("document.activeElement.tagName") == "H1", PATIENCE_S, "focus on the heading")
    tab.run("document.querySelector('.language').focus()")
    let_go(tab)
    seen(tab, "first")
    seen(tab, "Course")
    drawn(tab)
    assert tab.run(_HAS_FOCUS), "the late answer has moved the focus"
