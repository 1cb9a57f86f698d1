"""Several tabs of the console in a real Chromium, which share its connections to the api."""

from uuid import UUID

import pytest

from common.tasks.messages import State, Status
from tests.support.console import PATIENCE_S, complaints, in_state, seen, signed_in
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network


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
