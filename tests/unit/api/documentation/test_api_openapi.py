"""The OpenAPI document says what the api does."""

import json
from html.parser import HTMLParser
from importlib import resources

import pytest

from api.batches.models import BatchStatus
from api.problems import Problem
from api.routes.models import Deliveries, TaskPage, TaskStatus
from api.submit.submission import Queued, Submission, task_uuid
from api.view.merge import of_task
from common.tasks.messages import Task
from tests.support.api.api_client import ApiClient, MemoryPublisher, basic


@pytest.fixture(scope="module")
def document():
    answer = ApiClient().request("GET", "/openapi.json")
    assert answer.status == 200
    return answer.json()


MODELS = {f"#/components/schemas/{model.__name__}": model for model in (Problem, Queued, Submission)}


def test_the_request_is_documented_and_needs_credentials(document):
    operation = document["paths"]["/generate"]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert MODELS[reference] is Submission
    schema = document["components"]["schemas"]["Submission"]
    assert schema["required"] == ["audio"]
    assert set(schema["properties"]) == {
        *("audio", "hook_url", "cancel_after_s", "label", "metadata", "cache", "priority", "hook_events"),
        *("preset", "model", "models", "ensemble", "weights", "stems", "output", "start_s", "duration_s"),
    }
    assert operation["requestBody"]["required"]
    assert operation["security"] == [{"HTTPBasic": []}, {"HTTPBearer": []}]
    assert document["components"]["securitySchemes"]["HTTPBasic"]["scheme"] == "basic"
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert [parameter["name"] for parameter in operation["parameters"]] == ["Idempotency-Key", "Prefer"]


def test_every_answer_is_documented_with_an_example_and_nothing_that_never_comes(document):
    responses = document["paths"]["/generate"]["post"]["responses"]
    assert set(responses) == {
        *(
            "200",
            "202",
            "400",
            "401",
            "403",
            "404",
            "408",
            "409",
            "410",
            "413",
            "415",
            "429",
            "501",
            "503",
            "default",
        )
    }
    for status, response in responses.items():
        media_type = "application/json" if status in ("200", "202") else "application/problem+json"
        assert list(response["content"]) == [media_type]
        content = response["content"][media_type]
        MODELS[content["schema"]["$ref"]].model_validate(content["example"])


def knowing(**settings) -> ApiClient:
    """One whose view knows of a task with the key `known`."""
    client = ApiClient(**settings)
    fields = {"submitted_at": 1.0, "user": "admin", "submission_digest": "another"}
    client.view.tell(of_task(Task(task_uuid=task_uuid("admin", "known"), audio="a", **fields)))
    return client


@pytest.mark.parametrize(
    ("client", "request_headers", "status"),
    [
        (ApiClient(), {}, 200),
        (ApiClient(), {"Idempotency-Key": ""}, 400),
        (ApiClient(), basic("a", "b"), 401),
        (ApiClient(), {"Origin": "https://other.example"}, 403),
        (knowing(), {"Idempotency-Key": "known"}, 409),
        (ApiClient(max_body_bytes=1), {}, 413),
        (ApiClient(), {"Content-Type": "audio/mpeg"}, 415),
        (knowing(max_queued_tasks=1), {}, 429),
        (ApiClient(MemoryPublisher(away="gone")), {}, 503),
    ],
)
def test_real_answers_are_as_documented(document, client, request_headers, status):
    answer = client.generate(headers=request_headers)
    assert answer.status == status
    response = document["paths"]["/generate"]["post"]["responses"][str(status)]
    content = response["content"][answer.headers["content-type"]]
    MODELS[content["schema"]["$ref"]].model_validate(answer.json())
    for name, about in response.get("headers", {}).items():
        assert name.lower() in answer.headers or about.get("required") is False


@pytest.mark.parametrize(("most", "status"), [(1, 200), (0, 429)])
@pytest.mark.parametrize("path", ["/generate", "/batches"])
def test_what_is_left_of_a_limit_is_told_in_documented_headers(document, tmp_path, path, most, status):
    limits = tmp_path / "limits.toml"
    limits.write_text(f"default.max_running = {most}")
    song = {"audio": "https://example.com/song.mp3"}
    body = {"items": [song]} if path == "/batches" else song
    client = ApiClient(user_limits_file=limits)
    answer = client.request("POST", path, basic("admin", "password"), [json.dumps(body).encode()])
    assert answer.status == status
    documented = document["paths"][path]["post"]["responses"][str(status)]["headers"]
    told = {name for name in answer.headers if name.startswith("ratelimit") or name == "retry-after"}
    assert told == {name.lower() for name in documented} >= {"ratelimit", "ratelimit-policy"}


@pytest.mark.parametrize("path", ["", "/{task_uuid}", "/{task_uuid}/deliveries", "/{task_uuid}/events"])
def test_every_answer_about_tasks_is_documented_with_an_example(document, path):
    operation = document["paths"][f"/tasks{path}"]["get"]
    assert operation["security"] == [{"HTTPBasic": []}, {"HTTPBearer": []}]
    expected = {"200", "400", "401", "403", "429", "503", "default"} | ({"404"} if path else set())
    expected |= {"202"} if path == "/{task_uuid}" else set()
    assert operation["responses"].keys() == expected | ({"204"} if path.endswith("events") else set())
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            example = content["example"]
            if status not in ("200", "202"):
                Problem.model_validate(example)
            elif not path.endswith("events"):
                {"": TaskPage, "/{task_uuid}": TaskStatus}.get(path, Deliveries).model_validate(example)


def test_every_answer_to_a_redelivery_is_documented_with_an_example(document):
    operation = document["paths"]["/tasks/{task_uuid}/redeliver"]["post"]
    assert operation["security"] == [{"HTTPBasic": []}, {"HTTPBearer": []}]
    responses = operation["responses"]
    assert set(responses) == {"202", "400", "401", "403", "404", "409", "410", "429", "503", "default"}
    for status, response in responses.items():
        (content,) = response["content"].values()
        (TaskStatus if status == "202" else Problem).model_validate(content["example"])
    (conflict,) = responses["409"]["content"].values()
    assert conflict["example"]["state"] == "delivering"


def test_every_answer_to_the_redelivery_of_a_batch_is_documented_with_an_example(document):
    operation = document["paths"]["/batches/{batch_uuid}/redeliver"]["post"]
    responses = operation["responses"]
    assert set(responses) == {"202", "400", "401", "403", "404", "409", "429", "503", "default"}
    for status, response in responses.items():
        (content,) = response["content"].values()
        (BatchStatus if status == "202" else Problem).model_validate(content["example"])


def test_every_answer_to_a_cancel_is_documented_with_an_example(document):
    operation = document["paths"]["/tasks/{task_uuid}/cancel"]["post"]
    assert operation["security"] == [{"HTTPBasic": []}, {"HTTPBearer": []}]
    assert operation["responses"].keys() == {
        "202",
        "400",
        "401",
        "403",
        "404",
        "409",
        "429",
        "503",
        "default",
    }
    for status, response in operation["responses"].items():
        (content,) = response["content"].values()
        (TaskStatus if status == "202" else Problem).model_validate(content["example"])
        assert status != "409" or content["example"]["state"] == "succeeded"


def test_probes_need_no_credentials(document):
    for path in ("/health", "/livez", "/readyz"):
        assert "security" not in document["paths"][path]["get"]


class _Tags(HTMLParser):
    """Every tag of a page with its attributes, and the texts in scripts and styles."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] in ("script", "style") and data.strip():
            self.inline.append(data)


def test_the_page_holds_no_script_of_its_own_and_loads_files_of_the_api_alone():
    client = ApiClient()
    answer = client.request("GET", "/docs")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    page = _Tags(answer.body.decode())
    assert page.inline == []
    assert "style" not in [tag for tag, _ in page.tags]
    assert not [name for _, given in page.tags for name in given if name == "style" or name.startswith("on")]
    loaded = {given[name] for _, given in page.tags for name in ("src", "href") if name in given} - {"data:,"}
    assert loaded == {"docs/start.js", "docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "openapi.json"}
    for path in loaded:
        assert client.request("GET", f"/{path}").status == 200


def test_the_policy_of_the_page_allows_no_other_host_and_nothing_inline():
    policy = ApiClient().request("GET", "/docs").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("img-src") == "data:"
    assert {name for name, value in rules.items() if value == "'self'"} == {
        "script-src",
        "style-src",
        "connect-src",
    }
    assert {name for name, value in rules.items() if value == "'none'"} == {
        "default-src",
        "base-uri",
        "form-action",
        "frame-ancestors",
    }
    assert set(rules.values()) == {"'self'", "'none'"}


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("swagger-ui-bundle.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
        ("start.js", "text/javascript"),
    ],
)
def test_the_pages_files_are_whole_and_may_be_kept_for_a_while(name, media_type):
    answer = ApiClient().request("GET", f"/docs/{name}")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "max-age=3600"
    assert int(answer.headers["content-length"]) == len(answer.body)
    package = "api.documentation" if name == "start.js" else "fastapi_swagger.resources"
    assert answer.body == (resources.files(package) / name).read_bytes()


@pytest.mark.parametrize("name", ["nothing.js", "__init__.py", "..%2fpage.html", "page.html"])
def test_no_other_file_is_served_beside_the_page(name):
    assert ApiClient().request("GET", f"/docs/{name}").status == 404


def test_what_the_document_says_is_no_part_of_the_page():
    client = ApiClient()
    client.app.openapi()["paths"]["/health"]["get"]["description"] = "<script>alert(1)</script>"
    assert "alert" in client.request("GET", "/openapi.json").body.decode()
    assert "alert" not in client.request("GET", "/docs").body.decode()


def test_the_document_leads_to_the_api_wherever_a_proxy_puts_it(document):
    assert [server["url"] for server in document["servers"]] == ["."]


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui-bundle.js", "/redoc", "/openapi.json"])
def test_the_documentation_can_be_switched_off(path):
    assert ApiClient(api_docs=False).request("GET", path).status == 404
    assert ApiClient(api_docs=False).generate().status == 200
