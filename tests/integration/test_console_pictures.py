"""Pictures of the console's pages in three widths and both themes, which people look at in test-pictures/."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from api.view.merge import of_task
from common.tasks.messages import Choices, DeliveryAttempt, State, Status, Task
from tests.support import audio
from tests.support.api.announcements import model, preset, worker
from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Tab, browser
from tests.support.console import (
    PATIENCE_S,
    findings,
    finished,
    need_console,
    opened,
    seen,
    settings,
    sign_in,
)
from tests.support.paths import REPOSITORY
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.network, pytest.mark.slow]

_FOLDER = REPOSITORY / "test-pictures" / "console"
_WIDTHS_PX = (360, 768, 1440)
_THEMES = ("light", "dark")
_DEMO = {
    "demo_song_url": "https://example.com/demo.mp3",
    "demo_song_label": "Slow Motion Dream - Steven M. Bryant (CC BY 3.0)",
}
_FOUR = ("vocals", "drums", "bass", "other")


@pytest.fixture
def api(s3_store, tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(**settings(s3_store, tmp_path), **_DEMO) as server:
        yield server


@pytest.fixture
def tab(api: ApiServer, tmp_path: Path) -> Iterator[Tab]:
    need_console()
    with browser(tmp_path / "profile", "--lang=en", "--hide-scrollbars") as chrome:
        yield opened(chrome, api)


def keep(tab: Tab, name: str) -> None:
    """Keeps pictures of the page, on which axe-core must find nothing in either theme."""
    for theme in _THEMES:
        for width in _WIDTHS_PX:
            tab.look(width, theme)
            overflow = tab.run("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0, f"{name} is {overflow} px too wide for {width} px"
            # A list draws only what is in sight.
            tab.look(width, theme, max(900, tab.run("document.documentElement.scrollHeight")))
            tab.picture(_FOLDER / f"{name}-{width}-{theme}.png")
        assert findings(tab) == []


def worked_on(number: int, state: State, age_s: float, label: str, **fields) -> Status:
    began = time.time() - age_s
    times = {State.QUEUED: began, state: began + 2}
    if state in (State.SEPARATING, State.UPLOADING):
        times |= {State.DOWNLOADING: began + 2, State.PREPARING: began + 5, state: began + 9}
    given = {"task_uuid": UUID(int=number), "user": "admin", "submitted_at": began, "at": began + 9}
    return Status(**given, state=state, label=label, times=times, **fields)


def songs() -> list[Status]:
    error = {"error_code": "http_error", "error_message": "HTTP error: 404"}
    return [
        worked_on(1, State.QUEUED, 20, "Nina Simone - Feeling Good"),
        worked_on(2, State.SEPARATING, 40, "Teresa Teng - The Moon Represents My Heart", progress=0.62),
        worked_on(
            3,
            State.DOWNLOADING,
            55,
            "a very long name of a live recording, second night, encore",
            progress=0.04,
        ),
        worked_on(4, State.FAILED, 900, "Radiohead - Reckoner", **error),
        worked_on(5, State.SUCCEEDED, 1800, "Björk - Jóga", progress=1.0),
        worked_on(6, State.CANCELLED, 5400, "Portishead - Roads"),
        worked_on(7, State.SUCCEEDED, 9000, "Sigur Rós - Svefn-g-englar", progress=1.0),
    ]


def offers(api: ApiServer) -> None:
    models = (model("UVR-MDX-NET-Inst_HQ_4", speed=35.0), model("htdemucs_ft.yaml", _FOUR, speed=3.1))
    presets = (
        preset("best", description="Vocals and instrumental, as good as one model makes them", speed=4.0),
        preset("fast", description="Vocals and instrumental, quickly", speed=60.0),
        preset("four_stems", _FOUR, description="Vocals, drums, bass and the rest", speed=3.1),
    )
    api.view.tell(worker(default_model="UVR-MDX-NET-Inst_HQ_4", models=models, presets=presets))


def test_each_page_is_kept_as_pictures(tab, api, s3_store, tmp_path):
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)
    offers(api)
    keep(tab, "sign-in")
    sign_in(tab)
    seen(tab, "No songs yet")
    keep(tab, "empty")
    api.view.tell(*songs())
    tab.visit(f"{api.url}/")
    seen(tab, "Nina Simone")
    keep(tab, "list")
    tab.click(".choices summary")
    seen(tab, "Sample rate")
    keep(tab, "choices")
    tab.run(f"location.hash = '#/tasks/{UUID(int=2)}'")
    seen(tab, "so far")
    keep(tab, "working")

    song = audio.feelings(0.9)
    began = time.time() - 60
    task = Task(
        task_uuid=uuid4(), audio="https://example.com/feelings.flac", user="admin", submitted_at=began,
        hook_url="https://example.com/hook", label="Sectoid - Feelings", choices=Choices(preset="best"),
    )  # fmt: skip
    stems = {"vocals": song.vocals, "instrumental": song.instrumental}
    prefix = api.app.state.parts.settings.s3_prefix
    done = finished(task, s3_store, prefix, tmp_path, stems)
    names = (
        State.QUEUED,
        State.DOWNLOADING,
        State.PREPARING,
        State.SEPARATING,
        State.UPLOADING,
        State.SUCCEEDED,
    )
    times = dict(zip(names, (began + after for after in (0, 2, 5, 7, 26, 30)), strict=True))
    tried = {"task_uuid": task.task_uuid, "run": 1, "hook_url": task.hook_url, "took_s": 0.12}
    api.view.tell(
        of_task(task),
        done.model_copy(update={"times": times}),
        DeliveryAttempt(**tried, try_number=1, started_at=began + 31, status=503, next_try_at=began + 36),
        DeliveryAttempt(**tried, try_number=2, started_at=began + 36, status=204),
    )
    tab.run(f"location.hash = '#/tasks/{task.task_uuid}'")
    seen(tab, "Send the callback again")
    wait_for(lambda: tab.run("document.querySelectorAll('.waveform').length") == 2, PATIENCE_S, "waveforms")
    tab.run("uvrPlayer.seek(11)")
    wait_for(lambda: tab.run("uvrPlayer.position_s") == 11, PATIENCE_S, "the position")
    tab.run("document.fonts.ready")
    keep(tab, "task")
    assert len(list(_FOLDER.iterdir())) == 6 * len(_WIDTHS_PX) * len(_THEMES)
