"""Requests to a running api, and what is in its task topic."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from common.tasks.messages import Task, decode_task
from tests.support.api.api_client import SONG, Answer
from tests.support.common.kafka import own_topics
from tests.support.common.kafka.group import read_all

PATIENCE_S = 60


def api_settings(bootstrap: str, **others: str) -> dict[str, str]:
    """The environment of an api with topics of its own."""
    tag = own_topics.new_tag(bootstrap)
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "KAFKA_TASK_TOPIC": f"tasks-{tag}",
        "KAFKA_RESULT_TOPIC": f"results-{tag}",
        "KAFKA_DEAD_LETTER_TOPIC": f"dead-{tag}",
        "KAFKA_DELIVERY_TOPIC": f"deliveries-{tag}",
        "KAFKA_STATUS_TOPIC": f"status-{tag}",
        "KAFKA_CONTROL_TOPIC": f"control-{tag}",
        "KAFKA_MODELS_TOPIC": f"models-{tag}",
        "KAFKA_BATCH_TOPIC": f"batches-{tag}",
        "RETRY_DELAYS_S": "1,2",
        "CALLBACK_RETRIES": "2",
        "KAFKA_TOPIC_PARTITIONS": "3",
        **others,
    }


def submit(url: str, body: Any = SONG, headers: Mapping[str, str] | None = None) -> Answer:
    credentials = base64.b64encode(b"admin:password").decode()
    request = urllib.request.Request(
        f"{url}/generate",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Basic {credentials}", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return _answer(answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error)


def _answer(answer: Any) -> Answer:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(answer.status, headers, answer.read())


def metrics_of(url: str) -> str:
    """What `/metrics` says."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_S) as answer:
        return answer.read().decode()


def tasks_in(bootstrap: str, topic: str) -> list[tuple[bytes, Task]]:
    """Keys and tasks of every record that a worker could read now, in no order."""
    return [(record.key, decode_task(record.value)) for record in read_all(bootstrap, topic)]
