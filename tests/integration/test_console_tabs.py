"""Several tabs of the console in a real Chromium, which share its connections to the api."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from common.tasks.messages import State, Status
from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Browser, browser
from tests.support.console import PATIENCE_S, complaints, in_state, need_console, seen, settings, signed_in
from tests.support.servers import S3Store
from tests.support.waiting import wait_for

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


def test_pages_of_many_songs_on_their_way_leave_connections_for_each_other(chrome, api):
    """A browser keeps six connections to a host, for all tabs together."""
    songs = [
        Status(
            task_uuid=UUID(int=number), user="admin", submitted_at=1.0, at=2.0, state=State.SEPARATING,
            label=f"song {number}",
        )
        for number in range(7)
    ]  # fmt: skip
    api.view.tell(*songs)
    tabs = [signed_in(chrome, api)]
    for song in songs:
        tabs.append(chrome.open(f"{api.url}/#/tasks/{song.task_uuid}"))
        seen(tabs[-1], song.label)
        in_state(tabs[-1], ".now .state", "separating")
    tabs[-1].click("article > .actions > button")
    wait_for(lambda: api.publisher.cancels, PATIENCE_S, "cancel")

    api.view.tell(songs[0].model_copy(update={"state": State.CANCELLED, "at": 3.0}))
    tabs[1].show()
    in_state(tabs[1], ".now .state", "cancelled")
    assert complaints(tabs[0]) == []
