"""Questions to a running api about its tasks."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.support.api.api_client import Answer, basic
from tests.support.api.api_process import PATIENCE_S
from tests.support.stack import Service
from tests.support.waiting import wait_for

ADMIN = basic("admin", "password")


def ask(
    url: str, path: str, method: str | None = None, body: object = None, patience_s: float = PATIENCE_S
) -> Answer:
    """A `body` is sent as JSON, and makes the request a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers=ADMIN, method=method)
    try:
        with urllib.request.urlopen(request, timeout=patience_s) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


def wait_for_view(api: Service) -> None:
    """Until the api knows of all that was submitted before its start."""
    api.wait_ready()
    wait_for(lambda: api.get("/readyz")[1]["checks"]["view"]["detail"] == "caught up", PATIENCE_S, "the view")


def task(url: str, task_uuid: str) -> dict[str, Any]:
    answer = ask(url, f"/tasks/{task_uuid}")
    assert answer.status == 200, answer
    return answer.json()


def redeliver(url: str, task_uuid: str) -> Answer:
    return ask(url, f"/tasks/{task_uuid}/redeliver", "POST")


def deliveries(url: str, task_uuid: str) -> list[dict[str, Any]]:
    return ask(url, f"/tasks/{task_uuid}/deliveries").json()["deliveries"]


def cancel(url: str, task_uuid: str) -> Answer:
    return ask(url, f"/tasks/{task_uuid}/cancel", "POST")


def events(url: str, task_uuid: str) -> Iterator[dict[str, Any]]:
    """Those of a stream until the server ends it."""
    request = urllib.request.Request(f"{url}/tasks/{task_uuid}/events", headers=ADMIN)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
