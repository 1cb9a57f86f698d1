"""A request's id is in the logs of all three services, since the task and its result carry it."""

import json
import re
from uuid import uuid4

import pytest

from common.errors import ErrorCode, PermanentError
from common.kafka.records import Record
from common.observability.log import configure
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from common.storage.stage import LocalStage
from common.tasks import messages
from common.tasks.messages import Task, decode_result, decode_task
from processor.audio.prepare import AudioLimits
from processor.audio.transfer import DownloadLimits
from processor.handler import ProcessorConfig, ProcessorHandler
from tests.support.api.api_client import ApiClient
from tests.support.common.worker.fakes import FakeContext, given_up, run, statuses
from tests.support.http_server import CallbackReceiver
from tests.support.uploader.uploader_harness import UploaderHarness

GONE = PermanentError(ErrorCode.HTTP_ERROR, "HTTP error: 404")


def task_of(headers) -> tuple[str, Task]:
    """Returns the id in the api's answer, and the task's record in Kafka."""
    client = ApiClient()
    answer = client.generate(headers=headers)
    (task,) = client.publisher.tasks
    return answer.headers["x-request-id"], decode_task(task.to_bytes())


@pytest.mark.parametrize("headers", [{"X-Request-Id": "abc-1.2_3"}, {}])
def test_a_task_carries_the_id_that_the_api_answered_with(headers):
    answered, task = task_of(headers)
    assert task.request_id == answered


@pytest.fixture
def processor(tmp_path):
    limits = ProcessorConfig("results", tmp_path / "temp", 3, DownloadLimits(1, 1), AudioLimits(1, 1))
    network = OutboundNetwork(AddressPolicy(frozenset({80}), frozenset({parse_origin("http://127.0.0.1:9")})))
    return ProcessorHandler(limits, network, None, LocalStage(tmp_path / "stage"), statuses())


def given(task: Task) -> Record:
    return Record("tasks", 0, 7, b"key", task.to_bytes())


def test_the_processors_lines_about_the_task_end_with_it_and_its_result_carries_it(processor, log_dir):
    request_id, task = task_of({})
    configure("processor", log_dir)
    with pytest.raises(PermanentError):
        run(processor, given(task.model_copy(update={"audio": "http://10.0.0.1/song.mp3"})), FakeContext())
    message, *_ = given_up(processor, given(task), GONE, FakeContext()).messages
    lines = (log_dir / "processor.log").read_text().splitlines()
    assert len(lines) >= 3
    for line in lines:
        assert re.search(rf"\[{task.task_uuid}\] .* request_id={request_id}$", line), line
    assert decode_result(message.value).request_id == request_id


def test_the_uploaders_lines_about_the_task_end_with_it(tmp_path, log_dir):
    with CallbackReceiver() as receiver:
        harness = UploaderHarness(tmp_path, receiver)
        result = harness.staged().model_copy(update={"request_id": "abc-1"})
        configure("uploader", log_dir)
        harness.work(result)
        message, *rest = harness.given_up(result, GONE).messages
    lines = (log_dir / "uploader.log").read_text().splitlines()
    assert len(lines) >= 3
    assert all(line.endswith(" request_id=abc-1") for line in lines), lines
    assert decode_result(message.value).request_id == "abc-1"
    assert decode_result(rest[-1].value).request_id == "abc-1"


def test_a_task_without_one_leaves_the_lines_as_they_were(processor, log_dir):
    configure("processor", log_dir)
    task = Task(task_uuid=uuid4(), audio="http://a.example/", hook_url="http://a.example/", submitted_at=1.0)
    given_up(processor, given(task), GONE, FakeContext())
    (line,) = (log_dir / "processor.log").read_text().splitlines()
    assert line.endswith("] task failed (http_error): HTTP error: 404")


@pytest.mark.parametrize("unfit", ["a b", "a\nforged", "x" * 129, 5, None, ["a"]])
def test_an_id_that_no_log_may_hold_is_left_out_and_the_task_is_taken(unfit):
    task = Task(task_uuid=uuid4(), audio="http://a.example/", hook_url="http://a.example/", submitted_at=1.0)
    raw = json.dumps(json.loads(task.to_bytes()) | {"request_id": unfit}).encode()
    assert messages.decode_task(raw) == task
