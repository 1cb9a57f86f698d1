"""The console in a real Chromium, with the real api and a real store; the test does what workers do."""

import gzip
from collections.abc import Iterator
from uuid import uuid4

import pytest

from common.tasks.messages import DeliveryAttempt, State, Status
from tests.support.api.announcements import worker
from tests.support.api.api_server import api_server
from tests.support.api.users import write_users
from tests.support.browser import Browser, Tab, browser
from tests.support.console import (
    PATIENCE_S,
    SONG_S,
    complaints,
    fill,
    findings,
    finished,
    in_state,
    need_console,
    opened,
    seen,
    settings,
    sign_in,
    signed_in,
    song,
)
from tests.support.paths import REPOSITORY
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_IN_STEP_S = 0.02
# How much of the first waveform's canvas is covered.
_DRAWN_SHARE = """(() => {
    const canvas = document.querySelector(".waveform canvas");
    const { width, height } = canvas;
    const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    return pixels.filter((byte, index) => index % 4 === 3 && byte > 0).length / (width * height);
})()"""
# Signing out is answered so, as by a proxy that is in front of the api or by an api that refuses.
_ANSWER_SIGNING_OUT = """(status, text) => {
    const real = fetch;
    const answer = async () => new Response(text, { status });
    fetch = (path, init) => init.method === "DELETE" ? answer() : real(path, init);
}"""
_FOLLOW_AT_ONCE = """{
    const watch = new MutationObserver(() => {
        if (!document.querySelector(".submit")) return;
        watch.disconnect();
        location.hash = "PLACE";
    });
    watch.observe(document, { childList: true, subtree: true });
}"""
_CLICK_IN_THE_MIDDLE = """{
    const wave = document.querySelector(".waveform"), { left, width } = wave.getBoundingClientRect();
    wave.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX: left + width / 2 }));
}"""


@pytest.fixture(scope="module")
def module_chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need_console()
    flags = ("--window-size=1200,1600", "--lang=en", "--autoplay-policy=no-user-gesture-required")
    with browser(tmp_path_factory.mktemp("profile"), *flags) as started:
        yield started


@pytest.mark.slow
def test_a_song_is_sent_followed_heard_and_deleted(chrome, api, s3_store, tmp_path):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    api.view.tell(worker())  # which has started after the page was opened
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")  # the page asks at once
    seen(tab, "Gives vocals, instrumental.")
    tab.click(".choices summary")
    seen(tab, "Sample rate")
    fill(tab, ".more fieldset:nth-of-type(2) select", "flac")
    seen(tab, "Bit depth")
    fill(tab, ".preset select", "preset:best")
    tab.type(".more [inputmode=numeric]", "0:00.5")
    tab.type(".more [type=url]", "https://example.com/hook")
    assert findings(tab) == []
    tab.choose_files("input[type=file]", song(tmp_path))
    wait_for(lambda: api.publisher.tasks, PATIENCE_S, "task")
    (task,) = api.publisher.tasks
    assert (task.user, task.file_name, task.hook_url) == ("admin", "song 0.wav", "https://example.com/hook")
    chosen = {"preset": "best", "output": {"format": "flac"}, "start_s": 0.5}
    assert task.choices.model_dump(exclude_none=True) == chosen
    in_state(tab, ".songs .state", "queued")
    prefix = api.app.state.parts.settings.s3_prefix
    done = finished(task, s3_store, prefix, tmp_path)
    api.view.tell(done)
    in_state(tab, ".songs .state", "done")

    tab.click(".songs a")
    seen(tab, "Save vocals")
    assert findings(tab) == []
    tab.run("document.querySelector('.player').focus()")
    tab.press(" ")
    wait_for(lambda: tab.run("uvrPlayer.position_s") > 1, PATIENCE_S, "the stems to play")
    tab.run("uvrPlayer.seek(10)")
    wait_for(lambda: tab.run("uvrPlayer.position_s") > 11, PATIENCE_S, "the stems to play on")
    wait_for(lambda: tab.run("uvrPlayer.spread_s") < _IN_STEP_S, PATIENCE_S, "the stems to be in step")
    assert tab.run("uvrPlayer.tracks.every(track => uvrPlayer.gainOf(track))"), (
        "the store allows no Web Audio"
    )
    assert tab.run("document.querySelectorAll('.waveform').length") == 2
    assert 0.2 < tab.run(_DRAWN_SHARE) < 1
    tab.run(_CLICK_IN_THE_MIDDLE)
    assert SONG_S / 2 - 1 < tab.run("uvrPlayer.position_s") < SONG_S / 2 + 2
    tab.run("document.querySelector('.player').focus()")
    tab.press("1")
    assert tab.run("document.querySelector('[aria-label=\"Mute vocals\"]').ariaPressed") == "true"
    assert tab.run("document.querySelectorAll('.silent .waveform').length") == 1
    tab.click(".play")

    tab.click("#callback ~ .actions button")
    wait_for(lambda: api.publisher.redeliveries, PATIENCE_S, "redelivery")
    tried = {"task_uuid": task.task_uuid, "run": 1, "hook_url": "h", "try_number": 1, "took_s": 0.1}
    api.view.tell(
        DeliveryAttempt(**tried, started_at=done.at, status=410, redelivery_requested_at=done.at),
    )
    seen(tab, "sent again")
    seen(tab, "410")
    tab.run("document.querySelector('#callback ~ details').open = true")
    body = tab.run("JSON.parse(document.querySelector('#callback ~ details pre').textContent)")
    assert (body["task_uuid"], body["status"]) == (str(task.task_uuid), "success")
    assert findings(tab) == []

    tab.click("[href^='#/again']")
    seen(tab, "The song is still in the store")
    assert findings(tab) == []
    fill(tab, ".more fieldset:nth-of-type(2) select", "mp3")
    tab.click(".earlier button")
    wait_for(lambda: len(api.publisher.tasks) == 2, PATIENCE_S, "second task")
    again = api.publisher.tasks[1]
    assert (again.audio, again.choices.output.format, again.choices.start_s) == (task.audio, "mp3", 0.5)
    wait_for(lambda: tab.run("location.hash") == "#/", PATIENCE_S, "the list")
    tab.type("#link", "https://example.com/next.mp3")
    tab.press("Enter")
    wait_for(lambda: len(api.publisher.tasks) == 3, PATIENCE_S, "third task")
    new = api.publisher.tasks[2]
    assert (new.choices.output.format, new.hook_url) == (
        "flac",
        task.hook_url,
    )  # the form's own, not the earlier task's
    tab.run(f"location.hash = '#/tasks/{task.task_uuid}'")
    seen(tab, "Save vocals")

    tab.click("article > .actions > .danger")
    assert findings(tab) == []
    tab.click("dialog .danger")
    wait_for(lambda: api.publisher.deletions, PATIENCE_S, "deletion")
    deleted = {"deleted_at": done.at + 5, "at": done.at + 5, "result": None}
    api.view.tell(done.model_copy(update=deleted))
    in_state(tab, ".now .state", "deleted")
    assert complaints(tab) == []
    assert tab.challenges == []
    hosts = (f"{api.url}/", f"{s3_store.endpoint_url}/{s3_store.bucket}/{prefix}")
    assert [url for url in tab.requested if not url.startswith((*hosts, "data:"))] == []


def test_a_wrong_password_is_told_on_the_page(chrome, api):
    tab = opened(chrome, api)
    sign_in(tab, "wrong")
    seen(tab, "Wrong user name or password.")
    assert findings(tab) == []
    sign_in(tab)
    seen(tab, "No songs yet")
    tab.run("document.cookie = 'x=y'")
    assert tab.run("document.cookie") == "x=y"  # the session's cookie is no script's
    tab.network(offline=True)
    tab.click("header button")
    seen(tab, "The API does not answer. Please try again.")
    assert findings(tab) == []
    tab.network()
    wait_for(lambda: "The API does not answer." not in tab.text, PATIENCE_S, "the notice to go")
    tab.click("header button")
    seen(tab, "Password")
    assert tab.run("fetch('tasks', {headers: {'X-UVR-CSRF': '1'}}).then(answer => answer.status)") == 401
    assert (complaints(tab), tab.challenges) == ([], [])


def test_a_session_that_ends_asks_for_the_password_again_and_sends_nothing_more(chrome, s3_store, tmp_path):
    users = write_users(tmp_path / "users", admin="password", bob="password")
    with api_server(**settings(s3_store, tmp_path), basic_auth_users_file=users) as api:
        tab = signed_in(chrome, api)
        seen(tab, "No songs yet")
        tab.network(upload_bytes_per_s=10_000)
        tab.choose_files("input[type=file]", song(tmp_path, 5.0), song(tmp_path, 5.0, seed=1))
        wait_for(lambda: sent(tab) == 1, PATIENCE_S, "the first song on its way")
        tab.browser.call("Network.clearBrowserCookies", tab.session)
        tab.run("document.dispatchEvent(new Event('visibilitychange'))")  # the list asks at once
        seen(tab, "Your session is over. Please sign in again.")
        seen(tab, "May be missing: 2")
        assert findings(tab) == []
        tab.network()

        sign_in(tab, user="bob")
        seen(tab, "Signed in as bob")
        seen(tab, "May be missing: 2")
        assert "song 0.wav" not in tab.text, "the names are no other user's business"
        tab.type("#link", "https://example.com/song.mp3")
        tab.press("Enter")
        wait_for(lambda: api.publisher.tasks, PATIENCE_S, "bob's task")
        assert [(task.user, task.file_name) for task in api.publisher.tasks] == [("bob", None)]
        assert sent(tab) == 2

        tab.click("header button")
        seen(tab, "Password")
        sign_in(tab)
        seen(tab, "song 0.wav, song 1.wav")
        assert findings(tab) == []
        tab.click(".unsent button")
        wait_for(lambda: "song 0.wav" not in tab.text, PATIENCE_S, "the notice to go")
        assert tab.challenges == []


@pytest.mark.slow
def test_songs_on_their_way_are_not_sent_as_the_user_of_another_tab(chrome, s3_store, tmp_path):
    users = write_users(tmp_path / "users", admin="password", bob="password")
    with api_server(**settings(s3_store, tmp_path), basic_auth_users_file=users) as api:
        tab = signed_in(chrome, api)
        tab.network(offline=True)
        tab.choose_files("input[type=file]", song(tmp_path))
        seen(tab, "This page tries again by itself.")
        other = chrome.open(f"{api.url}/")
        seen(other, "Signed in as admin")
        other.click("header button")
        seen(other, "Password")
        sign_in(other, user="bob")
        seen(other, "Signed in as bob")
        tab.network()
        seen(tab, "May be missing: 1")
        assert api.publisher.tasks == []


def sent(tab: Tab) -> int:
    tab.run("0")  # the browser tells what has happened with its next answer
    return len([url for url in tab.requested if url.endswith("/generate")])


def test_what_the_api_refuses_is_told_in_its_words(chrome, api):
    tab = signed_in(chrome, api)
    tab.type("#link", "http://127.0.0.1/song.mp3")
    tab.press("Enter")
    seen(tab, "127.0.0.1")
    wait_for(lambda: tab.run("!!document.querySelector('.sending .problem')"), PATIENCE_S, "the problem")
    assert findings(tab) == []
    assert api.publisher.tasks == []


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_answers_for_an_api_that_is_away_is_told_as_no_answer(chrome, api, status):
    tab = signed_in(chrome, api)
    tab.run(f"({_ANSWER_SIGNING_OUT})({status}, '<h1>Bad Gateway</h1>')")
    tab.click("header button")
    seen(tab, "The API does not answer. Please try again.")
    wait_for(lambda: "The API does not answer." not in tab.text, PATIENCE_S, "the notice to go")


def test_a_refusal_to_sign_out_stays_on_the_page(chrome, api):
    tab = signed_in(chrome, api)
    seen(tab, "No songs yet")
    tab.run(f"({_ANSWER_SIGNING_OUT})(500, JSON.stringify({{detail: 'It is broken.'}}))")
    tab.run("{const real = setTimeout; setTimeout = (what, wait_ms) => real(what, wait_ms / 50)}")
    tab.listen()
    tab.click("header button")
    seen(tab, "It is broken.")
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")
    # The list of songs is asked for less often than the session of an api that was away.
    wait_for(lambda: tab.run("1") and _times(tab, "/tasks?") > 2, PATIENCE_S, "looks at the list")
    assert "It is broken." in tab.text


def _times(tab: Tab, part: str) -> int:
    return len([url for url in tab.requested if part in url])


def test_the_page_works_behind_a_path_prefix_and_in_chinese(chrome, s3_store, tmp_path):
    demo = {"demo_song_url": "https://example.com/a%20song.mp3", "demo_song_label": ""}
    with api_server(prefix="/separation/v1", **settings(s3_store, tmp_path), **demo) as api:
        tab = signed_in(chrome, api)
        seen(tab, "No songs yet")
        assert findings(tab) == []
        tab.click(".demo button")
        wait_for(lambda: api.publisher.tasks, PATIENCE_S, "task")
        seen(tab, "a song.mp3")
        tab.run("{const field = document.querySelector('.language'); field.value = 'zh';"
                " field.dispatchEvent(new Event('change'))}")  # fmt: skip
        seen(tab, "分离歌曲")
        assert tab.run("document.documentElement.lang") == "zh-CN"
        tab.click(".songs a")
        seen(tab, "提交时间")
        assert findings(tab) == []
        tab.network(offline=True)
        tab.click(".actions > button")
        seen(tab, "操作可能已执行，也可能未执行")
        assert findings(tab) == []
        tab.network()
        tab.click(".actions > button")
        wait_for(lambda: api.publisher.cancels, PATIENCE_S, "cancel")
        tab.click("[href^='#/again']")
        again = "document.querySelector('#link')?.value"
        wait_for(lambda: tab.run(again) == demo["demo_song_url"], PATIENCE_S, "the link")
        tab.run("localStorage.clear()")
        assert (complaints(tab), tab.challenges) == ([], [])


def test_a_link_that_is_followed_as_soon_as_the_list_is_there_leads_to_its_page(chrome, api):
    """What a page that has just been drawn is asked must not be lost, however late its effects come."""
    task = Status(
        task_uuid=uuid4(), user="admin", submitted_at=1.0, state=State.FAILED, at=2.0, label="my song"
    )
    api.view.tell(task)
    tab = opened(chrome, api)
    tab.run(_FOLLOW_AT_ONCE.replace("PLACE", f"#/tasks/{task.task_uuid}"))
    sign_in(tab)
    wait_for(
        lambda: tab.run("document.querySelector('article h1')?.textContent") == "my song",
        PATIENCE_S,
        "the song",
    )


def rows(tab: Tab) -> list[str]:
    return tab.run("[...document.querySelectorAll('.songs a')].map(link => link.textContent)")


def test_the_newest_songs_come_first_and_older_ones_when_they_come_into_sight(chrome, api):
    first = Status(task_uuid=uuid4(), user="admin", submitted_at=1.0, state=State.FAILED, at=2.0)
    changes = [
        {"task_uuid": uuid4(), "submitted_at": float(number + 1), "label": f"song {number}"}
        for number in range(300)
    ]
    api.view.tell(*(first.model_copy(update=change) for change in changes))
    tab = signed_in(chrome, api)
    seen(tab, "song 299")
    assert rows(tab) == [f"song {number}" for number in range(299, 299 - len(rows(tab)), -1)]
    shown: dict[str, None] = {}

    def scrolled_to_the_end() -> bool:
        shown.update(dict.fromkeys(rows(tab)))
        tab.run("scrollBy(0, 600)")
        assert len(rows(tab)) < 100
        return "song 0" in shown

    wait_for(scrolled_to_the_end, PATIENCE_S, "all songs")
    assert list(shown) == [f"song {number}" for number in reversed(range(300))]


def test_songs_are_found_by_words_state_and_day(chrome, api):
    day_s = 24 * 3600.0
    for number, state in enumerate((State.FAILED, State.SUCCEEDED, State.CANCELLED)):
        fields = {"submitted_at": (100 + 2 * number) * day_s, "label": f"Song {number}", "state": state}
        api.view.tell(Status(task_uuid=uuid4(), user="admin", at=1000 * day_s, **fields))
    tab = signed_in(chrome, api)

    def shows(*numbers: int) -> None:
        wait_for(
            lambda: rows(tab) == [f"Song {number}" for number in numbers], PATIENCE_S, f"songs {numbers}"
        )

    shows(2, 1, 0)
    fill(tab, ".filters [type=search]", "1 sOnG")
    shows(1)
    fill(tab, ".filters [type=search]", "")
    shows(2, 1, 0)
    fill(tab, ".filters select", "failed")
    shows(0)
    fill(tab, ".filters select", "delivering")
    seen(tab, "No song is like this.")
    assert findings(tab) == []
    tab.click(".filters button")
    shows(2, 1, 0)
    fill(tab, ".filters label:nth-of-type(3) input", "1970-04-12")
    fill(tab, ".filters label:nth-of-type(4) input", "1970-04-14")
    shows(1)


def test_the_script_is_small():
    need_console()
    files = (REPOSITORY / "api" / "console" / "assets" / "console").iterdir()
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < 250_000
