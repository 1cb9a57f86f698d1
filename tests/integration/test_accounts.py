"""Keys, limits and usage of a running api: its files change meanwhile, and Kafka keeps what is accounted."""

import time
from pathlib import Path
from uuid import UUID

import pytest
from kafka import KafkaProducer

from common.tasks.messages import State, Status
from tests.support.api.api_process import PATIENCE_S, api_settings, submit
from tests.support.forked_command import run_forked
from tests.support.waiting import wait_for
from uvr_client import Unauthorized, UvrClient

pytestmark = pytest.mark.network


def keys(file: Path, *arguments: str) -> str:
    """Runs `python -m api keys` and returns its standard output."""
    done = run_forked("api", "keys", *arguments, environment={"API_KEYS_FILE": str(file), "PATH": ""})
    done.check_returncode()
    return done.stdout.strip()


def tell(settings: dict[str, str], status: Status) -> None:
    producer = KafkaProducer(bootstrap_servers=settings["KAFKA_BOOTSTRAP_SERVERS"], acks="all")
    key = str(status.task_uuid).encode()
    producer.send(settings["KAFKA_STATUS_TOPIC"], status.to_bytes(), key=key).get(timeout=30)
    producer.close()


@pytest.mark.slow
def test_keys_and_limits_change_under_a_running_api_and_usage_outlasts_the_stems(stack, kafka, tmp_path):
    file, limits = tmp_path / "keys.json", tmp_path / "limits.toml"
    limits.write_text("default.max_running = 1")
    settings = api_settings(kafka.bootstrap, API_KEYS_FILE=str(file), USER_LIMITS_FILE=str(limits))
    api = stack.start("api", {**settings, "BASIC_AUTH_USERNAME": "alice"})
    key = keys(
        file, "create", "alice", "--scopes", "submit,read", "--expires", "90d", "--name", "nightly import"
    )
    bearer = {"Authorization": f"Bearer {key}"}
    accepted = []

    def is_refused() -> bool:
        """Until the api has read the first task back from Kafka it may accept more of them."""
        answer = submit(api.url, headers=bearer)
        if answer.status == 200:
            accepted.append(UUID(answer.json()["task_uuid"]))
        return answer.status == 429

    wait_for(is_refused, PATIENCE_S, "the limit")
    assert accepted
    assert submit(api.url, {"audio": "https://example.com/a.mp3", "priority": 5}, bearer).status == 429

    now_s = time.time()
    for task_uuid in accepted:
        tell(
            settings,
            Status(
                task_uuid=task_uuid,
                user="alice",
                submitted_at=now_s,
                at=now_s,
                state=State.SUCCEEDED,
                deleted_at=now_s,
                model="m",
                audio_s=240.0,
                engine_s=31.5,
            ),
        )
    wait_for(lambda: submit(api.url, headers=bearer).status == 200, PATIENCE_S, "room for another task")
    limits.write_text("default.max_priority = 2")
    refused = submit(api.url, headers=bearer)
    assert (refused.status, refused.json()["error_code"]) == (403, "priority_not_allowed")

    with UvrClient(api.url, key=key) as client:
        (usage,) = client.usage()
        assert [(day.tasks, day.audio_s, day.engine_s) for day in usage.days] == [
            (len(accepted), 240.0 * len(accepted), 31.5 * len(accepted))
        ]
        keys(file, "revoke", key.split("_")[1])
        with pytest.raises(Unauthorized, match="revoked"):
            client.usage()
    assert "revoked" in keys(file, "list")
    assert key.rpartition("_")[2] not in api.log()
