"""The api killed with SIGKILL on either side of Kafka's answer: what a client that asks again gets."""

from collections import Counter
from uuid import uuid4

import pytest

from common.failpoint import Failpoint
from tests.support.api.api_process import submit, tasks_in
from tests.support.api.task_client import wait_for_view
from tests.support.crash import PROCESSOR, CrashSystem


@pytest.fixture(scope="module")
def crashing(system: CrashSystem) -> CrashSystem:
    system.trio.start(PROCESSOR, "uploader")
    return system


def queued(crashing: CrashSystem) -> Counter[str]:
    settings = crashing.trio.settings
    tasks = tasks_in(settings["KAFKA_BOOTSTRAP_SERVERS"], settings["KAFKA_TASK_TOPIC"])
    return Counter(str(task.task_uuid) for _, task in tasks)


# Where it dies, and how often the task is queued by then.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "times"), [(Failpoint.API_BEFORE_SEND, 0), (Failpoint.API_ACKNOWLEDGED, 1)]
)
def test_a_client_that_repeats_its_key_to_a_killed_api_has_one_task(crashing, song, point, times):
    api = crashing.armed("api", point)
    body = {"audio": crashing.trio.song(song), "hook_url": crashing.trio.receiver.hook_url}
    key = {"Idempotency-Key": str(uuid4())}
    before = queued(crashing)
    with pytest.raises(OSError, match="without response"):
        submit(api.url, body, key)
    crashing.wait_for_end(api)
    # As counts: records of several partitions come in any order.
    lost = queued(crashing) - before
    crashing.restart(api)
    wait_for_view(api)
    task_uuid = submit(api.url, body, key).json()["task_uuid"]
    assert list(lost.elements()) == [task_uuid] * times
    crashing.assert_seen_once(task_uuid)
