"""What web pages can do with the api in a real browser, for a user who is signed in to it there."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

import pytest

from common.tasks.messages import State, Status
from tests.support.api.api_client import SONG
from tests.support.api.api_server import ApiServer, api_server
from tests.support.browser import Browser, Tab, browser
from tests.support.http_server import ScriptedServer, serve
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

_PATIENCE_S = 60
_SIGN_IN = "Basic YWRtaW46cGFzc3dvcmQ="
_TASK = UUID(int=1)
_SIGNED = {"method": "POST", "body": json.dumps(SONG), "headers": {"Authorization": _SIGN_IN}}


@pytest.fixture(scope="module")
def module_chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
    with browser(tmp_path_factory.mktemp("profile"), rules, "--disable-popup-blocking") as started:
        yield started


@pytest.fixture(scope="module")
def pages() -> Iterator[ScriptedServer]:
    """Another's web server on this machine."""
    with ScriptedServer() as server:
        server.on("/", serve(b"<!doctype html><title>a page</title>", content_type="text/html"))
        yield server


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as server:
        server.view.tell(_status(State.SEPARATING))
        yield server


@pytest.fixture
def answered(caplog) -> Callable[[], list[str]]:
    """The api's answers so far, from its log: method, path and status."""
    caplog.set_level(logging.INFO, "api.access")

    def lines() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.name == "api.access"]
        answers = [" ".join(line.split()[:3]) for line in found]
        return [line for line in answers if "favicon" not in line]

    return lines


def _status(state: State, at: float = 1.0) -> Status:
    return Status(task_uuid=_TASK, user="admin", submitted_at=1.0, state=state, at=at)


def signed_in(chrome: Browser, api: ApiServer) -> Tab:
    """A tab of a user who has given his password to the browser."""
    tab = chrome.open(api.url.replace("//", "//admin:password@") + "/tasks")
    assert json.loads(tab.run("document.body.textContent"))["tasks"]
    return tab


def form(address: str, target: str = "", sandbox: str = "") -> str:
    """A form whose text is JSON, sent at once."""
    name, value = json.dumps(SONG)[:-1] + ', "x": "', '"}'
    markup = (
        f"<form method=post enctype=text/plain action={json.dumps(address)} target={json.dumps(target)}>"
        f"<input name='{name}' value='{value}'></form>"
    )
    if sandbox:
        page = markup + "<script>document.forms[0].submit()</script>"
        return (
            "{const frame = document.createElement('iframe'); frame.sandbox = 'allow-scripts allow-forms';"
            f"frame.srcdoc = {json.dumps(page)}; document.body.append(frame)}}"
        )
    return f"document.body.innerHTML = {json.dumps(markup)}; document.forms[0].submit()"


def no_cors(path: str, method: str = "POST") -> str:
    options = {"method": method, "mode": "no-cors", "credentials": "include"}
    if method == "POST":
        options["body"] = json.dumps(SONG)
    return f"fetch(API + {json.dumps(path)}, {json.dumps(options)}).then(() => 1, () => 0)"


ATTACKS = {
    "a form": lambda url: form(f"{url}/generate"),
    "a form with the default password": lambda url: form(
        url.replace("//", "//admin:password@") + "/generate"
    ),
    "a form in a sandbox": lambda url: form(f"{url}/generate", sandbox="yes"),
    "a fetch": lambda url: no_cors("/generate"),
    "a beacon": lambda url: f"navigator.sendBeacon(API + '/generate', {json.dumps(json.dumps(SONG))})",
    "a cancel": lambda url: no_cors(f"/tasks/{_TASK}/cancel"),
    "a look": lambda url: no_cors("/tasks", "GET"),
    "a picture": lambda url: "new Image().src = API + '/tasks'",
    "a preflight": lambda url: f"fetch(API + '/generate', {json.dumps(_SIGNED)}).catch(() => 0)",
}


@pytest.mark.parametrize("site", ["localhost", "127.0.0.1"])
def test_nothing_that_another_page_does_changes_or_asks_anything(chrome, api, pages, answered, site):
    """`localhost` is another site than 127.0.0.1, and another port of 127.0.0.1 the same site."""
    signed_in(chrome, api)
    wait_for(lambda: "GET /tasks 200" in answered(), _PATIENCE_S, "the line of the sign-in")
    page = pages.url.replace("127.0.0.1", site)
    for name, attack in ATTACKS.items():
        before = len(answered())
        chrome.open(page + "/").run(f"const API = {json.dumps(api.url)}; {attack(api.url)}")
        wait_for(lambda before=before: len(answered()) > before, _PATIENCE_S, f"the answer to {name}")
        assert {line.split()[2] for line in answered()[before:]} == {"403"}, (name, answered()[before:])
    assert api.publisher.tasks == api.publisher.cancels == api.publisher.redeliveries == []


def test_a_name_that_was_pointed_to_this_machine_reads_nothing(chrome, api):
    port = api.url.rpartition(":")[2]
    tab = chrome.open(f"http://evil.example:{port}/docs")
    assert "host_not_allowed" in tab.text
    tab.pass_over_policies()
    tab.visit(f"http://evil.example:{port}/openapi.json")
    headers = json.dumps({"Authorization": _SIGN_IN})
    assert tab.run(f"fetch('/tasks', {{headers: {headers}}}).then(answer => answer.status)") == 403


def test_pages_of_our_own_work(chrome, api, pages):
    tab = chrome.open(api.url + "/docs")
    wait_for(lambda: "Submit a song" in tab.text, _PATIENCE_S, "the documentation")
    tab.run("document.querySelector('a').target = ''")
    tab.click("a[href='openapi.json']")
    wait_for(lambda: '"openapi"' in tab.text, _PATIENCE_S, "the document")
    tab.pass_over_policies()
    tab.visit(api.url + "/docs")
    assert tab.run(f"fetch('/generate', {json.dumps(_SIGNED)}).then(answer => answer.status)") == 200
    assert len(api.publisher.tasks) == 1
    # A link from another site.
    elsewhere = chrome.open(pages.url.replace("127.0.0.1", "localhost") + "/")
    elsewhere.run(f"location.href = {json.dumps(api.url + '/docs')}")
    wait_for(lambda: "Submit a song" in elsewhere.text, _PATIENCE_S, "the documentation")


_STREAM = """(async () => {
  const answer = await fetch(API + PATH, {headers: {Authorization: SIGN_IN}});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('"succeeded"')) {
    const {value, done} = await reader.read();
    if (done) break;
    text += value;
    if (text.includes('"separating"')) document.title = 'separating';
  }
  return text;
})()"""
_EVENT_SOURCE = """new Promise((resolve, reject) => {
  const source = new EventSource(API + PATH, {withCredentials: true});
  source.addEventListener('status', event => {
    document.title = JSON.parse(event.data).state;
    if (document.title == 'succeeded') { source.close(); resolve(event.data); }
  });
  source.onerror = () => reject(new Error('refused'));
})"""


@pytest.mark.parametrize(
    ("page_host", "api_host", "script"),
    [
        ("localhost", "127.0.0.1", _STREAM),
        ("127.0.0.1", "127.0.0.1", _EVENT_SOURCE),
        ("app.site.example", "api.site.example", _EVENT_SOURCE),
    ],
    ids=["fetch from another site", "EventSource from another port", "EventSource from another subdomain"],
)
def test_a_page_that_is_named_follows_a_task(chrome, pages, page_host, api_host, script):
    """An EventSource can send no password, and what the user has typed counts within one site alone."""
    origin = pages.url.replace("127.0.0.1", page_host)
    with api_server(cors_origins=origin, allowed_hosts="*.site.example") as server:
        api = replace(server, url=server.url.replace("127.0.0.1", api_host))
        api.view.tell(_status(State.SEPARATING))
        signed_in(chrome, api)
        tab = chrome.open(origin + "/")
        names = {"API": api.url, "PATH": f"/tasks/{_TASK}/events", "SIGN_IN": _SIGN_IN}
        begin = "".join(f"var {name} = {json.dumps(value)};" for name, value in names.items())
        tab.run(f"{begin} window.received = {script}; 0")
        wait_for(lambda: tab.run("document.title") == "separating", _PATIENCE_S, "the first event")
        api.view.tell(_status(State.SUCCEEDED, 2.0))
        assert '"succeeded"' in tab.run("window.received")


def test_an_event_source_of_the_apis_own_origin_needs_no_more_than_the_sign_in(chrome, api):
    tab = signed_in(chrome, api)
    tab.pass_over_policies()
    tab.visit(api.url + "/docs")
    api.view.tell(_status(State.SUCCEEDED, 2.0))
    tab.run(f"var API = '', PATH = '/tasks/{_TASK}/events'; 0")
    assert '"succeeded"' in tab.run(_EVENT_SOURCE)
