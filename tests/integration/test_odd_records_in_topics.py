"""Records of valid form with values that nobody writes: the api shows all else, and counts them."""

import json
import urllib.request

from tests.support.api.api_client import basic
from tests.support.api.api_process import PATIENCE_S, api_settings, metrics_of, submit
from tests.support.common.kafka.group import produce
from tests.support.waiting import wait_for


def test_odd_records_hide_nothing(kafka, stack):
    settings = api_settings(kafka.bootstrap)
    api = stack.start("api", settings)
    first = submit(api.url).json()["task_uuid"]
    fields = {"task_uuid": first, "submitted_at": 1.0, "state": "failed", "user": "admin"}
    odd = [fields | {"at": 1.7e308}, fields | {"at": 1.6e308}, fields | {"at": 1.0, "run": 10**9}]
    produce(kafka.bootstrap, settings["KAFKA_STATUS_TOPIC"], *(json.dumps(one).encode() for one in odd))
    delivery = {
        "task_uuid": first,
        "run": 2**63,
        "hook_url": "h",
        "try_number": 1,
        "started_at": 1,
        "took_s": 1,
    }
    produce(kafka.bootstrap, settings["KAFKA_DELIVERY_TOPIC"], json.dumps(delivery).encode())
    second = submit(api.url).json()["task_uuid"]
    for task_uuid in (first, second):
        request = urllib.request.Request(f"{api.url}/tasks/{task_uuid}", headers=basic("admin", "password"))
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            assert json.load(answer)["state"] == "queued"
    wait_for(
        lambda: (
            'uvr_view_records_skipped_total{kind="statuses"} 3.0' in metrics_of(api.url)
            and 'uvr_view_records_skipped_total{kind="deliveries"} 1.0' in metrics_of(api.url)
        ),
        PATIENCE_S,
        "count of what was passed over",
    )
    assert api.get("/readyz")[0] == 200
