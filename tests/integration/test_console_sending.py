"""Songs on their way from the console to the api, in a real Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.view.merge import of_task
from common.tasks.messages import State
from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Tab
from tests.support.console import (
    PATIENCE_S,
    complaints,
    drawn,
    drop,
    fill,
    findings,
    seen,
    settings,
    signed_in,
    song,
)
from tests.support.servers import S3Store
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_FILES = "input[type=file]"
_BEGIN, _LENGTH = ".more [inputmode=numeric]", ".more label:nth-of-type(2) [inputmode=numeric]"
_LINK = "https://example.com/dropped.mp3"
# The page waits for seconds and minutes.
_SHORT_WAITS = "{const real = setTimeout; setTimeout = (what, wait_ms) => real(what, wait_ms / 50)}"
# As a proxy answers whose session is over.
_SIGN_IN_TO_PROXY = """{
    window.realFetch = fetch;
    fetch = async (path, init) =>
        path === "session" ? new Response("<h1>Please sign in</h1>") : realFetch(path, init);
}"""


@pytest.fixture
def narrow_api(s3_store: S3Store, tmp_path: Path) -> Iterator[ApiServer]:
    """An api that takes one song at a time."""
    limits = tmp_path / "limits.toml"
    limits.write_text("default.max_running = 1")
    with api_server(**settings(s3_store, tmp_path), user_limits_file=limits) as server:
        yield server


def has_tasks(api: ApiServer, count: int) -> None:
    wait_for(lambda: len(api.publisher.tasks) == count, PATIENCE_S, f"{count} tasks")


def fails(api: ApiServer, place: int) -> None:
    """The task is over."""
    task = of_task(api.publisher.tasks[place])
    api.view.tell(task.model_copy(update={"state": State.FAILED, "at": task.submitted_at + 1}))


def problem_rows(tab: Tab) -> list[str]:
    return tab.run("[...document.querySelectorAll('.sending .problem')].map(row => row.textContent)")


def dialogs(tab: Tab) -> list[str]:
    """The kinds of the questions that the browser has asked its user."""
    tab.browser.call("Target.getTargets")  # the browser tells what has happened with its next answer
    name = "Page.javascriptDialogOpening"
    return [event["params"]["type"] for event in tab.browser.events if event["method"] == name]


def asks_before_leaving(tab: Tab, expected: bool) -> None:
    """The page knows it soon after it has drawn what is on its way."""
    script = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    wait_for(lambda: tab.run(script) is not expected, PATIENCE_S, f"question: {expected}")


def address(tab: Tab) -> str:
    return tab.run("document.querySelector('#link').value")


def test_the_browser_asks_before_songs_on_their_way_are_lost(chrome, api, tmp_path):
    tab = signed_in(chrome, api)
    asks_before_leaving(tab, False)
    tab.network(upload_bytes_per_s=10_000)
    tab.choose_files(_FILES, song(tmp_path, 5.0))
    seen(tab, "Sending song 0.wav")
    asks_before_leaving(tab, True)
    tab.run("void setTimeout(() => location.reload())")  # the script waits while the browser asks
    wait_for(lambda: dialogs(tab) == ["beforeunload"], PATIENCE_S, "the question")
    tab.browser.call("Page.handleJavaScriptDialog", tab.session, accept=False)
    tab.network()
    has_tasks(api, 1)
    seen(tab, "song 0.wav is queued.")
    asks_before_leaving(tab, False)


def test_songs_wait_until_there_is_room(chrome, narrow_api, tmp_path):
    api, tab = narrow_api, signed_in(chrome, narrow_api)
    tab.choose_files(_FILES, *(song(tmp_path, seed=seed) for seed in range(3)))
    seen(tab, "Not yet: You have 1 task")
    asks_before_leaving(tab, True)
    assert findings(tab) == []
    tab.run("[...document.querySelectorAll('.sending button')].at(-1).click()")  # its turn has not come
    seen(tab, "song 2.wav was not sent: you stopped it.")
    assert findings(tab) == []
    tab.click(".sending li:first-child button")
    seen(tab, "song 1.wav was not sent: you stopped it.")
    asks_before_leaving(tab, False)

    tab.run(_SHORT_WAITS)
    tab.click(".sending .ways button:first-child")  # both again
    seen(tab, "Not yet: You have 1 task")
    for place in range(2):
        assert len(api.publisher.tasks) == place + 1
        fails(api, place)
        has_tasks(api, place + 2)
    seen(tab, "song 2.wav is queued.")
    assert [task.file_name for task in api.publisher.tasks] == [f"song {number}.wav" for number in range(3)]
    assert problem_rows(tab) == []
    assert complaints(tab) == []


def test_a_song_for_whose_bytes_there_is_no_room_lets_the_next_one_have_its_turn(chrome, s3_store, tmp_path):
    first, other, too_large = song(tmp_path, 5.0), song(tmp_path, 5.0, seed=1), song(tmp_path, 20.0, seed=2)
    small = song(tmp_path, 0.5, seed=3)
    # A stored song counts as 1 MiB at least.
    room_bytes = 1024**2 + 300_000
    with api_server(**settings(s3_store, tmp_path), max_upload_bytes_per_user=room_bytes) as api:
        tab = signed_in(chrome, api)
        tab.choose_files(_FILES, first, other, too_large, small)
        has_tasks(api, 2)
        wait_for(lambda: len(problem_rows(tab)) == 2, PATIENCE_S, "two songs that were refused")
        full, never = problem_rows(tab)
        assert full.startswith("song 1.wav: Your uploads hold")
        assert never.startswith(f"song 2.wav: The song is larger than {room_bytes} bytes")
        buttons = "[...document.querySelectorAll('.sending .ways')].map(ways => ways.children.length)"
        assert tab.run(buttons) == [2, 1]
        assert [task.file_name for task in api.publisher.tasks] == ["song 0.wav", "song 3.wav"]


def test_a_proxys_page_to_sign_in_is_waited_for(chrome, api, tmp_path):
    tab = signed_in(chrome, api)
    tab.run(_SHORT_WAITS + _SIGN_IN_TO_PROXY)
    tab.choose_files(_FILES, song(tmp_path), song(tmp_path, seed=1))
    seen(tab, "The API does not answer. This page tries again by itself.")
    assert api.publisher.tasks == []
    tab.run("fetch = realFetch")
    has_tasks(api, 2)
    wait_for(lambda: problem_rows(tab) == [] and "Sending" not in tab.text, PATIENCE_S, "an empty list")


def test_a_link_that_is_dropped_becomes_the_address(chrome, api, tmp_path):
    tab = signed_in(chrome, api)
    api.view.tell(of_task(earlier_task(tab, api)).model_copy(update={"state": State.FAILED}))
    tab.run(f"location.hash = '#/again/{api.publisher.tasks[0].task_uuid}'")
    seen(tab, "The link is shown without its query and password")
    drop(tab, ".drop", text="no address")
    assert address(tab) == "https://example.com/first.mp3"
    drop(tab, ".drop", link=_LINK)
    wait_for(lambda: address(tab) == _LINK, PATIENCE_S, "the link")
    assert tab.run("document.activeElement.id") == "link"
    assert tab.run("location.hash").startswith("#/again/"), "the form must stay"
    drop(tab, ".choices", text=_LINK + "?text")
    wait_for(lambda: address(tab) == _LINK + "?text", PATIENCE_S, "the text")
    tab.run("document.querySelector('#link').select()")
    drop(tab, "#link", text="own")  # which the browser puts there
    assert "own" in address(tab)
    assert len(api.publisher.tasks) == 1
    fill(tab, "#link", _LINK)
    tab.press("Enter")
    has_tasks(api, 2)
    assert api.publisher.tasks[1].audio == _LINK
    assert complaints(tab) == []


def earlier_task(tab: Tab, api: ApiServer):
    tab.type("#link", "https://example.com/first.mp3")
    tab.press("Enter")
    has_tasks(api, 1)
    return api.publisher.tasks[0]


def test_a_folder_and_a_file_that_is_gone_are_told_and_songs_beside_them_are_sent(chrome, api, tmp_path):
    tab = signed_in(chrome, api)
    folder, empty, gone = tmp_path / "album", tmp_path / "empty.mp3", song(tmp_path, seed=1)
    folder.mkdir()
    empty.touch()
    tab.run(_SHORT_WAITS)
    tab.network(offline=True)  # while the file waits, it is moved
    drop(tab, ".drop", (folder, empty, gone, song(tmp_path)))
    seen(tab, "The API does not answer.")
    gone.rename(tmp_path / "moved.wav")
    tab.network()
    has_tasks(api, 1)
    assert api.publisher.tasks[0].file_name == "song 0.wav"
    why = "was not sent, because nothing can be read of it. Folders and empty files cannot be sent."
    names = [folder.name, empty.name, gone.name]
    wait_for(lambda: len(problem_rows(tab)) == len(names), PATIENCE_S, "what cannot be sent")
    rows = [row.partition(" Choose")[0] for row in problem_rows(tab)]
    assert rows == [f"{name} {why}" for name in names]
    assert findings(tab) == []


@pytest.mark.parametrize(("first", "other"), [(_BEGIN, _LENGTH), (_LENGTH, _BEGIN)])
def test_who_types_a_time_stays_in_its_field_while_the_other_one_is_refused(chrome, api, first, other):
    tab = signed_in(chrome, api)
    tab.click(".choices summary")
    seen(tab, "Sample rate")
    fill(tab, _BEGIN, "abc")
    fill(tab, _LENGTH, "xyz")
    tab.type("#link", _LINK)
    tab.press("Enter")
    is_focused = f"document.activeElement === document.querySelector({_BEGIN!r})"
    wait_for(lambda: tab.run(is_focused), PATIENCE_S, "the focus on the first refused field")
    # On its way each text can be read for a while, and cannot for another.
    texts = {first: "1:30", other: "2:05"}
    for field, text in texts.items():
        tab.run(f"document.querySelector({field!r}).select()")
        for key in text:
            tab.browser.call("Input.insertText", tab.session, text=key)
            drawn(tab)
    assert {field: tab.run(f"document.querySelector({field!r}).value") for field in texts} == texts
    assert "Nothing was sent" not in tab.text


@pytest.mark.parametrize("field", [_BEGIN, _LENGTH])
def test_a_time_that_cannot_be_read_keeps_the_song_from_being_sent(chrome, api, tmp_path, field):
    tab = signed_in(chrome, api)
    tab.click(".choices summary")
    seen(tab, "Sample rate")
    fill(tab, field, "90s")
    tab.click(".choices summary")  # what is out of sight counts too
    wait_for(lambda: "Sample rate" not in tab.text, PATIENCE_S, "the choices to go")

    def refused() -> None:
        seen(tab, "Nothing was sent, because “90s” is no time.")
        is_focused = f"document.activeElement === document.querySelector({field!r})"
        wait_for(lambda: tab.run(is_focused), PATIENCE_S, "the focus on the field")
        tab.run("document.activeElement.blur()")

    tab.choose_files(_FILES, song(tmp_path))
    refused()
    drop(tab, ".drop", (song(tmp_path),))
    refused()
    tab.type("#link", _LINK)
    tab.press("Enter")
    refused()
    assert (address(tab), findings(tab)) == (_LINK, [])
    fill(tab, field, "０：０１")
    assert "Nothing was sent" not in tab.text
    tab.choose_files(_FILES, song(tmp_path))
    has_tasks(api, 1)
    choices = api.publisher.tasks[0].choices
    expected = (1.0, None) if field == _BEGIN else (None, 1.0)
    assert (choices.start_s, choices.duration_s) == expected
