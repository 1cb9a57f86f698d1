"""LOG_FORMAT=json: an object a line, for programs that collect logs."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from common.observability.log import configure, request_context, task_context

FIELDS = ["time", "level", "logger", "service", "task_uuid", "request_id", "message", "exception"]


def objects(log_dir, service="api"):
    return [json.loads(line) for line in (log_dir / f"{service}.log").read_text("utf-8").splitlines()]


def test_a_line_is_an_object_with_always_the_same_fields(log_dir):
    configure("processor", log_dir, format="json")
    with task_context("aaaa"), request_context("r-1"):
        logging.getLogger("some.module").warning("File size: %.2f MB", 48.32)
    logging.getLogger("some.module").info("outside")
    inside, outside = objects(log_dir, "processor")
    assert list(inside) == list(outside) == FIELDS
    assert inside | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "logger": "some.module",
        "service": "processor",
        "task_uuid": "aaaa",
        "request_id": "r-1",
        "message": "File size: 48.32 MB",
        "exception": None,
    }
    assert (outside["task_uuid"], outside["request_id"]) == (None, None)


def test_the_time_names_its_zone(log_dir):
    configure("api", log_dir, format="json")
    logging.info("now")
    (line,) = objects(log_dir)
    assert line["time"].endswith("+00:00")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(line["time"])) < timedelta(minutes=5)


def test_an_exception_is_in_its_lines_object(log_dir):
    configure("api", log_dir, format="json")
    try:
        raise ValueError("oops")
    except ValueError:
        logging.exception("failed")
    (line,) = objects(log_dir)
    assert line["message"] == "failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: oops")


@pytest.mark.parametrize("text", ['a\n{"level": "forged"}', "…音楽…", "\udcff lone surrogate", "\u2028"])
def test_whatever_is_logged_stays_one_line(log_dir, text):
    configure("api", log_dir, format="json")
    logging.info("name %s", text)
    (line,) = objects(log_dir)
    assert line["message"] == f"name {text}"


def test_kafkas_lines_are_objects_too(log_dir):
    configure("api", log_dir, format="json")
    with task_context("aaaa"):
        logging.getLogger("kafka.client").error("broker away")
    (line,) = objects(log_dir)
    assert (line["logger"], line["task_uuid"]) == ("kafka.client", "aaaa")


def test_standard_error_gets_the_same(log_dir, capfd):
    configure("api", log_dir, format="json")
    logging.info("hello")
    assert json.loads(capfd.readouterr().err) == objects(log_dir)[0]
