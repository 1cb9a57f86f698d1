"""The console's list of songs when it is seen again after another page, and while it is filtered."""

from uuid import UUID

import pytest

from common.tasks.messages import State, Status
from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Tab
from tests.support.console import PATIENCE_S, complaints, drawn, seen, settings, signed_in
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_COUNT = 300
_AGAIN = "article [href^='#/again']"
_ROW_IN_SIGHT = """[...document.querySelectorAll(".songs a")].find((link) => {
    const { top, bottom } = link.getBoundingClientRect();
    return top > 100 && bottom < innerHeight;
})"""
_IS_ROW_IN_SIGHT = f"!!{_ROW_IN_SIGHT}"
# Follows the link, and tells where it leads.
_FOLLOW_A_ROW = f"(row => {{ row.click(); return row.hash; }})({_ROW_IN_SIGHT})"
# The list is left again in the moment in which it is drawn.
_BACK_FORWARD_BACK = """(async () => {
    for (const step of ["back", "forward", "back"]) {
        const moved = new Promise(resolve => addEventListener("hashchange", resolve, { once: true }));
        history[step]();
        await moved;
    }
})()"""

# The pause after typing ends when `endPause` is called.
_HOLD_PAUSE = """{
    const real = setTimeout;
    setTimeout = (what, wait_ms) => wait_ms === 250 ? (window.endPause = what, 0) : real(what, wait_ms);
}"""
_CHOOSE_AS_THE_PAUSE_ENDS = """{
    const states = document.querySelector(".filters select");
    states.value = "failed";
    states.dispatchEvent(new Event("change", { bubbles: true }));
    endPause();
}"""


def tell_songs(api: ApiServer) -> None:
    for number in range(_COUNT):
        state = State.FAILED if number % 2 else State.CANCELLED
        fields = {"submitted_at": number + 1.0, "at": number + 2.0, "label": f"song {number}"}
        api.view.tell(Status(task_uuid=UUID(int=number), user="admin", state=state, **fields))


def scroll(tab: Tab, top_px: int) -> None:
    """Scrolls to a place that may be loaded only as its user comes near."""
    script = f"scrollTo(0, {top_px}), scrollY === {top_px} && {_IS_ROW_IN_SIGHT}"
    wait_for(lambda: tab.run(script), PATIENCE_S, f"rows at {top_px} px")
    drawn(tab)


def is_at(tab: Tab, top_px: int, focus: str) -> None:
    where = "[scrollY, document.activeElement.hash]"
    wait_for(
        lambda: tab.run(where) == [top_px, focus], PATIENCE_S, f"place {top_px} with the focus on {focus}"
    )


def see_page(tab: Tab, place: str) -> None:
    """Waits for the song's page at `place`, which begins at its top."""
    page = f"location.hash === '{place}' && !!document.querySelector('#course')"
    wait_for(lambda: tab.run(page), PATIENCE_S, "the song's page")
    drawn(tab)
    assert tab.run("scrollY") == 0


@pytest.mark.parametrize("back", ["history.back()", "document.querySelector('.back a').click()"])
def test_the_list_is_where_it_was_left_when_a_songs_page_is_left(chrome, api, back):
    tell_songs(api)
    tab = signed_in(chrome, api)
    seen(tab, "song 299")
    for top_px in (3000, 9000):
        scroll(tab, top_px)
        row = tab.run(_FOLLOW_A_ROW)
        see_page(tab, row)
        tab.run(back)
        is_at(tab, top_px, row)
    assert complaints(tab) == []


def test_the_list_is_where_it_was_left_however_fast_its_user_goes_back_and_forward(chrome, api):
    tell_songs(api)
    tab = signed_in(chrome, api)
    seen(tab, "song 299")
    scroll(tab, 3000)
    row = tab.run(_FOLLOW_A_ROW)
    for _ in range(4):
        see_page(tab, row)
        tab.run(_BACK_FORWARD_BACK)
        is_at(tab, 3000, row)
        drawn(tab)
        is_at(tab, 3000, row)
        tab.run("history.forward()")


def test_the_list_is_where_it_was_left_after_the_form_of_an_earlier_song(chrome, api):
    tell_songs(api)
    tab = signed_in(chrome, api)
    seen(tab, "song 299")
    scroll(tab, 3000)
    row = tab.run(_FOLLOW_A_ROW)
    see_page(tab, row)
    wait_for(lambda: tab.run(f"!!document.querySelector({_AGAIN!r})"), PATIENCE_S, "the link to the form")
    tab.click(_AGAIN)
    seen(tab, "Again: song")
    drawn(tab)
    tab.run("history.back()")
    see_page(tab, row)
    tab.run("history.back()")
    wait_for(lambda: tab.run("scrollY") == 3000, PATIENCE_S, "the list's place")


def test_a_page_for_administrators_begins_at_its_top_after_a_scrolled_list(chrome, s3_store, tmp_path):
    with api_server(**settings(s3_store, tmp_path), admin_usernames="admin") as api:
        tell_songs(api)
        tab = signed_in(chrome, api)
        seen(tab, "song 299")
        tab.look(1200, height=400)
        scroll(tab, 3000)
        tab.click(".to-admin")
        wait_for(lambda: tab.run("!!document.querySelector('.admin h1')"), PATIENCE_S, "the page")
        drawn(tab)
        assert tab.run("scrollY") == 0


def test_the_form_of_an_earlier_song_is_in_sight_above_a_long_list(chrome, api):
    tell_songs(api)
    tab = signed_in(chrome, api)
    seen(tab, "song 299")
    scroll(tab, 3000)
    tab.run(_FOLLOW_A_ROW)
    wait_for(lambda: tab.run("document.activeElement.tagName") == "H1", PATIENCE_S, "the song's page")
    wait_for(lambda: tab.run(f"!!document.querySelector({_AGAIN!r})"), PATIENCE_S, "the link to the form")
    tab.click(_AGAIN)
    seen(tab, "Again: song")
    assert tab.run("document.activeElement.id") == "new-song"
    assert tab.run("document.activeElement.getBoundingClientRect().top") >= 0


def test_a_state_that_is_chosen_just_after_typing_is_kept(chrome, api):
    tell_songs(api)
    tab = signed_in(chrome, api)
    seen(tab, "song 299")
    tab.run(_HOLD_PAUSE)
    tab.type(".filters [type=search]", "song 10")
    wait_for(lambda: tab.run("!!window.endPause"), PATIENCE_S, "the pause after typing")
    tab.run(_CHOOSE_AS_THE_PAUSE_ENDS)
    wait_for(lambda: "song 299" not in tab.text, PATIENCE_S, "the songs that were searched for")
    links = "[...document.querySelectorAll('.songs a')].map(link => link.textContent)"
    assert tab.run(links) == [f"song {number}" for number in (109, 107, 105, 103, 101)]
    assert tab.run("document.querySelector('.filters select').value") == "failed"
