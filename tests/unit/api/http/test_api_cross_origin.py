"""Requests that a browser makes for somebody's page: which are refused, whatever they ask for."""

from uuid import UUID

import pytest

from api.view.merge import of_task
from common.settings.schema import ApiSettings
from common.tasks.messages import Task
from tests.support.api.api_client import SONG, ApiClient, basic

OURS = "127.0.0.1:8000"
ADMIN = basic("admin", "password")
TASK = f"/tasks/{UUID(int=1)}"
ROUTES = [
    ("POST", "/generate"),
    ("POST", f"{TASK}/cancel"),
    ("POST", f"{TASK}/redeliver"),
    ("GET", TASK),
    ("HEAD", TASK),
    ("GET", f"{TASK}/events"),
    ("GET", f"{TASK}/deliveries"),
    ("GET", "/tasks"),
    ("DELETE", TASK),
    ("OPTIONS", "/generate"),
]
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    # another port of this machine, another subdomain
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{OURS}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:9000"},
    {"Origin": "http://localhost:8000"},
    {"Origin": f"http://{OURS}.evil.example"},
    {"Origin": f"http://{OURS}@evil.example"},
    {"Origin": "chrome-extension://abcdefghijklmnop"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    # nobody but a proxy that is named may say whose host it is
    {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
]


def ask(client: ApiClient, method: str = "POST", path: str = "/generate", **headers: str) -> int:
    """The status; a submission has a song."""
    given = {"Host": OURS} | ADMIN | {name.replace("_", "-"): value for name, value in headers.items()}
    body = b'{"audio": "' + SONG["audio"].encode() + b'"}' if path == "/generate" else b""
    answer = client.request(method, path, given, [body])
    if answer.status == 403 and method == "HEAD":
        assert answer.body == b""
    elif answer.status == 403:
        problem = answer.json()
        assert problem["error_code"] in ("cross_origin", "host_not_allowed")
        assert problem["error"] == problem["detail"]
    if answer.status == 403:
        assert "access-control-allow-origin" not in answer.headers
    return answer.status


@pytest.fixture(scope="module")
def client() -> ApiClient:
    made = ApiClient()
    made.view.tell(of_task(Task(task_uuid=UUID(int=1), audio="a", submitted_at=1.0, user="admin")))
    return made


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_what_a_foreign_page_asks_for_is_refused(client, method, path, headers):
    before = len(client.publisher.tasks)
    assert ask(client, method, path, **headers) == 403
    assert len(client.publisher.tasks) == before
    assert client.publisher.cancels == client.publisher.redeliveries == []


@pytest.mark.parametrize("host", [{"API_HOST": "127.0.0.1"}, {"API_HOST": "0.0.0.0"}])
def test_where_the_api_listens_makes_no_difference_to_foreign_pages(host):
    client = ApiClient(api_host=host["API_HOST"])
    assert ask(client, Host="uvr.example.com", Origin="https://evil.example") == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},  # what curl says without being asked
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{OURS}"},
        # a form of a page of ours, which hides its origin
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Origin": f"http://{OURS}"},
        {"Sec-Fetch-Mode": "cors"},  # Node's fetch
    ],
    ids=str,
)
def test_programs_and_our_own_pages_are_served(client, headers):
    assert ask(client, **headers) == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("LOCALHOST:8000", "http://localhost:8000"),
        ("localhost.:8000", "http://localhost.:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("127.0.0.1", "https://127.0.0.1"),
        ("127.0.0.1:443", "https://127.0.0.1"),
    ],
)
def test_a_pages_origin_is_compared_in_any_spelling(client, host, origin):
    assert ask(client, Host=host, Origin=origin) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.nip.io:8000",
        "evil",
        "api",
        "127.0.0.1@evil.example",
        "127.0.0.1:8000, evil.example",
        "localhost..",
        "1.2.3.4.5",
        "[::1",
        "",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/generate"), ("GET", "/tasks"), ("GET", "/docs"), ("GET", "/nothing")]
)
def test_an_api_on_loopback_answers_for_no_foreign_host(client, host, method, path):
    assert ask(client, method, path, Host=host) == 403
    assert ask(client, method, path, Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin") == 403


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.1:1", "localhost:8000", "uvr.localhost", "Localhost.", "[::1]", "[::1]:8000",
     "10.2.3.4:8000", "[fe80::1%25eth0]:8000", "127.1:8000", "0x7f000001"],
)  # fmt: skip
def test_an_address_cannot_be_pointed_elsewhere_and_is_always_allowed(client, host):
    assert ask(client, Host=host) == 200


def test_a_request_without_a_host_is_no_browsers(client):
    assert client.request("GET", "/tasks", ADMIN).status == 200


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/metrics"])
@pytest.mark.parametrize("host", ["10.1.2.3:8000", "uvr-api.uvr.svc.cluster.local:8000", "api:8000", "api"])
def test_probes_and_metrics_are_asked_for_by_any_name(client, path, host):
    assert ask(client, "GET", path, Host=host) == 200
    assert ask(ApiClient(allowed_hosts="uvr.example.com"), "GET", path, Host=host) == 200


def test_others_than_loopback_take_every_host_until_names_are_given():
    assert ask(ApiClient(api_host="0.0.0.0"), Host="uvr.example.com") == 200
    assert ask(ApiClient(api_host="::"), Host="uvr.example.com") == 200
    named = ApiClient(api_host="0.0.0.0", allowed_hosts="uvr.example.com, *.example.org")
    hosts = ("uvr.example.com", "UVR.example.com.:443", "a.example.org", "10.1.2.3:8000", "localhost")
    assert {ask(named, Host=host) for host in hosts} == {200}
    others = (
        "example.com",
        "a.uvr.example.com",
        "example.org",
        "evilexample.org",
        "uvr.example.com.evil.net",
    )
    assert {ask(named, Host=host) for host in others} == {403}
    assert ask(ApiClient(allowed_hosts="*"), Host="uvr.example.com") == 200


@pytest.mark.parametrize(
    "hosts", ["https://uvr.example.com", "uvr.example.com:8000", ".example.com", "a.*.com", "a b", "a/b"]
)
def test_a_host_that_is_none_stops_the_start_and_is_named(hosts):
    with pytest.raises(ValueError, match="expected host names without scheme and port"):
        ApiSettings(allowed_hosts=hosts)


def test_a_proxy_that_is_named_says_which_host_was_asked_for():
    page = {"Origin": "https://uvr.example.com", "Sec-Fetch-Site": "same-origin"}
    forwarded = {"X-Forwarded-Host": "uvr.example.com", "X-Forwarded-For": "198.51.100.7"}
    behind = ApiClient(forwarded_allow_ips="203.0.113.5")
    assert ask(behind, **page, **forwarded) == 200
    assert ask(behind, **page) == 403
    assert ask(behind, **page, **(forwarded | {"X-Forwarded-Host": "evil.example"})) == 403
    assert ask(ApiClient(forwarded_allow_ips="203.0.113.99"), **page, **forwarded) == 403
    named = ApiClient(forwarded_allow_ips="203.0.113.5", allowed_hosts="uvr.example.com")
    assert ask(named, **page, **forwarded) == 200
    assert ask(named, X_Forwarded_Host="evil.example") == 403


def test_the_documentation_is_linked_to_from_anywhere_and_read_by_no_script(client):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for path in ("/docs", "/openapi.json"):
        assert ask(client, "GET", path, **link) == 200
        assert ask(client, "GET", path, **(link | {"Sec-Fetch-Dest": "iframe"})) == 403
        assert ask(client, "GET", path, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors") == 403
        assert ask(client, "GET", path, Origin="https://evil.example") == 403


@pytest.mark.parametrize("name", ["start.js", "swagger-ui-bundle.js", "swagger-ui.css"])
def test_the_files_of_the_documentation_are_for_our_own_page(client, name):
    assert ask(client, "GET", f"/docs/{name}", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="no-cors") == 200
    assert ask(client, "GET", f"/docs/{name}", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors") == 403
    assert ask(client, "GET", f"/docs/{name}", Origin="https://evil.example") == 403


def test_a_foreign_page_cannot_use_up_the_failed_sign_ins(client):
    wrong = basic("admin", "wrong")
    for _ in range(30):
        assert ask(client, "GET", "/tasks", **wrong, Sec_Fetch_Site="cross-site") == 403
    assert ask(client, "GET", "/tasks") == 200


FRIEND = {"Host": OURS, "Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize(
    "given", ["https://app.example.com", "https://b.example, https://APP.example.com:443/"]
)
def test_a_page_of_an_origin_that_is_named_may_use_the_api_and_read_its_answers(given):
    client = ApiClient(cors_origins=given)
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = client.request("OPTIONS", "/generate", FRIEND | asked)
    assert (preflight.status, preflight.body) == (204, b"")
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert "POST" in preflight.headers["access-control-allow-methods"]
    readable = client.request("GET", "/tasks", FRIEND).headers["access-control-expose-headers"]
    assert {"Location", "RateLimit", "Retry-After"} <= set(readable.split(", "))
    for answer in (preflight, client.generate(headers=FRIEND), client.request("GET", "/tasks", FRIEND)):
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]
    assert client.request("GET", "/tasks", FRIEND).status == 401
    assert len(client.publisher.tasks) == 1


@pytest.mark.parametrize("origin", ["http://app.example.com", "https://app.example.com:8443", "null"])
def test_a_page_of_any_other_origin_may_not(origin):
    client = ApiClient(cors_origins="https://app.example.com")
    assert ask(client, **(FRIEND | {"Origin": origin})) == 403
    assert ask(client, "OPTIONS", Origin=origin, Access_Control_Request_Method="POST") == 403


def test_a_named_origin_changes_nothing_about_the_host():
    client = ApiClient(cors_origins="https://app.example.com")
    assert client.generate(headers=FRIEND | {"Host": "evil.example"}).status == 403


@pytest.mark.parametrize("origins", ["*", "null", "app.example.com", "https://app.example.com/page"])
def test_an_origin_that_is_none_stops_the_start(origins):
    with pytest.raises(ValueError, match="expected origins such as"):
        ApiSettings(cors_origins=origins)
