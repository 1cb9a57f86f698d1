"""Questions to a running api about its tasks."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

from tests.support.api_client import Answer, basic
from tests.support.api_process import PATIENCE_S

ADMIN = basic("admin", "password")


def ask(url: str, path: str, method: str = "GET") -> Answer:
    request = urllib.request.Request(url + path, headers=ADMIN, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


def task(url: str, task_uuid: str) -> dict[str, Any]:
    answer = ask(url, f"/tasks/{task_uuid}")
    assert answer.status == 200, answer
    return answer.json()


def cancel(url: str, task_uuid: str) -> Answer:
    return ask(url, f"/tasks/{task_uuid}/cancel", "POST")


def events(url: str, task_uuid: str) -> Iterator[dict[str, Any]]:
    """Those of a stream until the server ends it."""
    request = urllib.request.Request(f"{url}/tasks/{task_uuid}/events", headers=ADMIN)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
