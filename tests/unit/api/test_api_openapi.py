"""The OpenAPI document says what the api does."""

import base64
import hashlib

import pytest

from api import documentation_page
from api.problems import Problem
from api.routes.models import Deliveries, TaskPage, TaskStatus
from api.submit.submission import Queued, Submission, task_uuid
from api.view.merge import of_task
from common.tasks.messages import Task
from tests.support.api.api_client import ApiClient, MemoryQueue, basic


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
    assert set(schema["properties"]) == {"audio", "hook_url", "cancel_after_s"}
    assert operation["requestBody"]["required"]
    assert operation["security"] == [{"HTTPBasic": []}]
    assert document["components"]["securitySchemes"]["HTTPBasic"]["scheme"] == "basic"
    assert [parameter["name"] for parameter in operation["parameters"]] == ["Idempotency-Key"]


def test_every_answer_is_documented_with_an_example_and_nothing_that_never_comes(document):
    responses = document["paths"]["/generate"]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "408", "409", "413", "415", "429", "503", "default"}
    for status, response in responses.items():
        media_type = "application/json" if status == "200" else "application/problem+json"
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
        (ApiClient(MemoryQueue(away="gone")), {}, 503),
    ],
)
def test_real_answers_are_as_documented(document, client, request_headers, status):
    answer = client.generate(headers=request_headers)
    assert answer.status == status
    response = document["paths"]["/generate"]["post"]["responses"][str(status)]
    content = response["content"][answer.headers["content-type"]]
    MODELS[content["schema"]["$ref"]].model_validate(answer.json())
    for name in response.get("headers", {}):
        assert name.lower() in answer.headers


@pytest.mark.parametrize("path", ["", "/{task_uuid}", "/{task_uuid}/deliveries", "/{task_uuid}/events"])
def test_every_answer_about_tasks_is_documented_with_an_example(document, path):
    operation = document["paths"][f"/tasks{path}"]["get"]
    assert operation["security"] == [{"HTTPBasic": []}]
    expected = {"200", "400", "401", "403", "429", "503", "default"} | ({"404"} if path else set())
    assert operation["responses"].keys() == expected | ({"204"} if path.endswith("events") else set())
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            example = content["example"]
            if status != "200":
                Problem.model_validate(example)
            elif not path.endswith("events"):
                {"": TaskPage, "/{task_uuid}": TaskStatus}.get(path, Deliveries).model_validate(example)


def test_every_answer_to_a_redelivery_is_documented_with_an_example(document):
    operation = document["paths"]["/tasks/{task_uuid}/redeliver"]["post"]
    assert operation["security"] == [{"HTTPBasic": []}]
    responses = operation["responses"]
    assert set(responses) == {"202", "400", "401", "403", "404", "409", "429", "503", "default"}
    for status, response in responses.items():
        (content,) = response["content"].values()
        (TaskStatus if status == "202" else Problem).model_validate(content["example"])
    (conflict,) = responses["409"]["content"].values()
    assert conflict["example"]["state"] == "delivering"


def test_every_answer_to_a_cancel_is_documented_with_an_example(document):
    operation = document["paths"]["/tasks/{task_uuid}/cancel"]["post"]
    assert operation["security"] == [{"HTTPBasic": []}]
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


def test_the_documentation_can_be_read_and_loads_nothing(document):
    answer = ApiClient().request("GET", "/docs")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    page = answer.body.decode()
    for path, methods in document["paths"].items():
        assert path in page
        for status in (status for method in methods.values() for status in method["responses"]):
            assert f"<b>{status}</b>" in page
    assert "Idempotency-Key" in page
    assert "<script" not in page
    assert "src=" not in page
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]


def test_what_the_document_says_is_text_on_the_page():
    document = ApiClient().app.openapi()
    document["paths"]["/health"]["get"]["description"] = "<script>alert(1)</script>"
    assert "<script" not in documentation_page.render(document)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_documentation_can_be_switched_off(path):
    assert ApiClient(api_docs=False).request("GET", path).status == 404
    assert ApiClient(api_docs=False).generate().status == 200
