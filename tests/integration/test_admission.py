"""Repeats and bursts at apis as processes of their own, with a real Kafka between them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.support.api.api_client import SONG
from tests.support.api.api_process import api_settings, submit, tasks_in
from tests.support.api.task_client import wait_for_view


def test_a_repeated_key_is_the_same_task_also_at_another_api(kafka, stack):
    settings = api_settings(kafka.bootstrap)
    apis = [stack.start("api", settings) for _ in range(2)]
    for api in apis:
        wait_for_view(api)
    for number in range(10):
        key = {"Idempotency-Key": f"order-{number}"}
        first, second = (submit(api.url, headers=key) for api in apis)
        assert first.json() == second.json()
        other = submit(apis[number % 2].url, SONG | {"hook_url": "https://example.com/other"}, key)
        assert (other.status, other.json()["task_uuid"]) == (409, first.json()["task_uuid"])
    keys = [key for key, _ in tasks_in(kafka.bootstrap, settings["KAFKA_TASK_TOPIC"])]
    assert len(keys) == len(set(keys)) == 10


def test_a_burst_at_one_api_does_not_pass_the_limit(kafka, stack):
    settings = api_settings(kafka.bootstrap, MAX_QUEUED_TASKS_PER_USER="30")
    api = stack.start("api", settings)
    wait_for_view(api)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: submit(api.url), range(60)))
    assert Counter(answer.status for answer in answers) == {200: 30, 429: 30}
    assert {answer.headers["retry-after"] for answer in answers if answer.status == 429} == {"30"}
    assert len(tasks_in(kafka.bootstrap, settings["KAFKA_TASK_TOPIC"])) == 30
