"""`/docs` in a real browser: it shows the whole document, can be used, and asks nobody but the api."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import pytest

from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Browser, Tab, browser
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_PATIENCE_S = 60
_NAME = """(block => block.querySelector('.opblock-summary-method').textContent + ' ' +
    block.querySelector('.opblock-summary-path').dataset.path)"""
_OPERATIONS = f"[...document.querySelectorAll('.opblock')].map({_NAME})"
_BLOCK = f"[...document.querySelectorAll('.opblock')].find(block => {_NAME}(block) === %r)"
# The statuses of each operation that is unfolded on the page.
_ANSWERS = f"""Object.fromEntries([...document.querySelectorAll('.opblock.is-open')].map(block => [
    {_NAME}(block),
    [...block.querySelectorAll('tr.response > .response-col_status')].map(cell => cell.textContent).sort(),
]))"""
# Those of the one that is unfolded.
_STATUSES = """[...document.querySelectorAll('.opblock.is-open tr.response > .response-col_status')]
    .map(cell => cell.textContent)"""

# One without our own way of following references.
_THEIR_UI = """(window.theirs ??= SwaggerUIBundle({
    spec: ui.specSelectors.specJson().toJS(), domNode: document.createElement('div')}))"""
_RESOLVED = """%s.fn.resolveSubtree(ui.specSelectors.specJson().toJS(), ['paths', '/batches', 'post'], {
    baseDoc: new URL('openapi.json', document.baseURI).href, modelPropertyMacro: null, parameterMacro: null
}).then(({ spec, errors }) => [spec, errors])"""


@pytest.fixture(scope="module")
def module_chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile"), "--window-size=1200,1600") as started:
        yield started


@pytest.fixture(params=["", "/separation/v1"], ids=["at the root", "behind a path prefix"])
def api(request: pytest.FixtureRequest) -> Iterator[ApiServer]:
    with api_server(prefix=request.param) as server:
        yield server


def opened(chrome: Browser, api: ApiServer) -> Tab:
    """A tab with the page, all operations folded."""
    tab = chrome.open("about:blank")
    tab.listen()
    tab.visit(api.url + "/docs")
    wait_for(lambda: tab.run(_OPERATIONS), _PATIENCE_S, "operations")
    return tab


@contextmanager
def unfolded(tab: Tab, operation: str) -> Iterator[None]:
    """Unfolds the operation, such as `GET /tasks`, with its answers for the body."""
    click = f"{_BLOCK % operation}.querySelector('.opblock-summary-control').click()"
    tab.run(click)
    wait_for(lambda: tab.run(_STATUSES), _PATIENCE_S, f"answers of {operation}")
    yield
    tab.run(click)
    wait_for(lambda: not tab.run(_STATUSES), _PATIENCE_S, f"{operation} folded")


def all_unfolded(tab: Tab) -> dict[str, list[str]]:
    """Unfolds all operations, and returns their statuses.

    To unfold one after the other would draw the page twice for each.
    """
    operations = tab.run(_OPERATIONS)
    tab.run("document.querySelectorAll('.opblock-summary-control').forEach(control => control.click())")

    def answers() -> dict[str, list[str]] | None:
        found = tab.run(_ANSWERS)
        return found if len(found) == len(operations) and all(found.values()) else None

    return wait_for(answers, _PATIENCE_S, "answers of all operations")


def statuses(document: dict[str, Any]) -> dict[str, list[str]]:
    return {
        f"{method.upper()} {path}": sorted(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("api", [""], indirect=True, ids=["at the root"])
def test_every_operation_and_answer_is_shown(chrome, api):
    tab = opened(chrome, api)
    with urlopen(api.url + "/openapi.json") as answer:
        document = json.load(answer)
    assert all_unfolded(tab) == statuses(document)
    text = tab.run(f"{_BLOCK % 'POST /generate'}.innerText")
    for expected in ("Idempotency-Key", "Task has been queued for processing"):
        assert expected in text
    assert document["info"]["title"] in tab.text
    assert tab.complaints == []
    ours, theirs = (json.dumps(tab.run(_RESOLVED % ui)) for ui in ("ui", _THEIR_UI))
    assert ours == theirs
    assert "$$ref" in ours


@pytest.mark.slow
def test_a_song_can_be_submitted_from_the_page_which_has_our_own_files_alone(chrome, api):
    tab = opened(chrome, api)
    files = ("docs", "docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js", "openapi.json")
    assert [url for url in tab.requested if not url.startswith("data:image/svg")] == [
        f"{api.url}/{file}" for file in files
    ]
    tab.click(".btn.authorize")
    tab.type("#auth-basic-username", "admin")
    tab.type("#auth-basic-password", "password")
    tab.click(".auth-btn-wrapper .btn.authorize")
    tab.click(".auth-btn-wrapper .btn-done")
    with unfolded(tab, "POST /generate"):
        tab.click("[id$='generate_generate_post'] .try-out__btn")
        tab.click("[id$='generate_generate_post'] .btn.execute")
        wait_for(lambda: api.publisher.tasks, _PATIENCE_S, "task")
        assert [task.audio for task in api.publisher.tasks] == ["https://example.com/song.mp3"]
        wait_for(lambda: str(api.publisher.tasks[0].task_uuid) in tab.text, _PATIENCE_S, "answer on the page")
        assert api.publisher.tasks[0].idempotency_key is None  # nothing is sent that was not filled in
    assert tab.complaints == []
    assert f"{api.url}/generate" in tab.requested


@pytest.mark.slow
def test_what_the_document_says_runs_nothing(chrome, api):
    hostile = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">seen"
    api.app.openapi()["paths"]["/health"]["get"]["description"] = hostile
    tab = opened(chrome, api)
    with unfolded(tab, "GET /health"):
        assert "seen" in tab.text
        assert tab.run("document.title") == "UVR API"
        assert tab.run("document.querySelectorAll('#swagger-ui script, #swagger-ui [onerror]').length") == 0
