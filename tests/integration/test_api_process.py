"""`python -m api` as a process of its own with a real Kafka."""

import http.client
import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID

import pytest
from kafka import KafkaAdminClient

from tests.support.api.api_client import SONG, basic
from tests.support.api.api_process import PATIENCE_S, api_settings, submit, tasks_in
from tests.support.servers import KafkaServer
from tests.support.waiting import wait_for


def test_an_answer_means_that_a_worker_can_read_the_task(kafka, stack):
    settings = api_settings(kafka.bootstrap)
    api = stack.start("api", settings)
    answer = submit(api.url, SONG | {"unknown": 1}, {"X-Request-Id": "my-request"})
    assert answer.status == 200
    ((key, task),) = tasks_in(kafka.bootstrap, settings["KAFKA_TASK_TOPIC"])
    assert task.task_uuid == UUID(answer.json()["task_uuid"])
    assert key == str(task.task_uuid).encode()
    assert (task.audio, task.hook_url, task.user) == (SONG["audio"], SONG["hook_url"], "admin")
    assert f"[{task.task_uuid}] Task queued" in api.log()
    wait_for(lambda: "POST /generate 200" in api.log(), PATIENCE_S, "line of the request")
    lines = [line for line in api.log().splitlines() if "Task queued" in line or "POST /generate" in line]
    assert len(lines) == 2
    assert all(line.endswith(" request_id=my-request") for line in lines)


def test_the_topics_are_made_explicitly(kafka, stack):
    settings = api_settings(kafka.bootstrap)
    stack.start("api", settings)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        names = [settings[f"KAFKA_{kind}_TOPIC"] for kind in ("TASK", "RESULT", "DEAD_LETTER")]
        assert [len(topic["partitions"]) for topic in admin.describe_topics(names)] == [3, 3, 3]
    finally:
        admin.close()


def test_many_at_once_are_all_queued_once(kafka, stack):
    settings = api_settings(kafka.bootstrap)
    api = stack.start("api", settings)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: submit(api.url), range(200)))
    assert {answer.status for answer in answers} == {200}
    tasks = [str(task.task_uuid) for _, task in tasks_in(kafka.bootstrap, settings["KAFKA_TASK_TOPIC"])]
    assert sorted(tasks) == sorted(answer.json()["task_uuid"] for answer in answers)


class BegunRequest:
    """A submission that the api has begun to handle, and whose body is still to come."""

    def __init__(self, port: int):
        self.body = json.dumps(SONG).encode()
        fields = {"Host": "localhost", "Content-Length": str(len(self.body)), "Expect": "100-continue"}
        lines = [f"{name}: {value}" for name, value in (fields | basic("admin", "password")).items()]
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.sock.sendall("\r\n".join(["POST /generate HTTP/1.1", *lines, "", ""]).encode())
        assert self.sock.recv(1000).startswith(b"HTTP/1.1 100 ")

    def finish(self) -> str:
        """The task_uuid of its answer."""
        with closing(self.sock):
            self.sock.sendall(self.body)
            response = http.client.HTTPResponse(self.sock)
            response.begin()
            assert response.status == 200
            return json.load(response)["task_uuid"]


@pytest.fixture
def closed_port():
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))  # bound, and not listening
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
def mute_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def no_such_name():
    return "no-such-host.invalid:9092"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["closed_port", "mute_port", "no_such_name"])
def test_without_kafka_the_api_answers_and_says_503(where, stack, request):
    api = stack.start(
        "api", api_settings(request.getfixturevalue(where), KAFKA_ACK_TIMEOUT_S="2"), wait=False
    )
    wait_for(lambda: api.get("/livez"), PATIENCE_S, "answer of /livez")
    assert api.get("/health")[0] == 200
    status, body = api.get("/readyz")
    assert status == 503
    assert body["checks"]["kafka"]["detail"]
    answer = submit(api.url)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.stop() == 0


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker that tests may kill and freeze, and that they leave running."""
    server = KafkaServer(tmp_path_factory.mktemp("api-kafka"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.mark.slow
def test_after_the_broker_was_killed_the_same_api_goes_on(broker, stack):
    settings = api_settings(broker.bootstrap, KAFKA_ACK_TIMEOUT_S="3")
    api = stack.start("api", settings)
    queued = {submit(api.url).json()["task_uuid"]}
    broker.kill()
    refused = submit(api.url)
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0
    wait_for(lambda: api.get("/readyz")[0] == 503, PATIENCE_S, "not ready")
    broker.start()
    api.wait_ready()
    answer = submit(api.url)
    assert answer.status == 200
    queued.add(answer.json()["task_uuid"])
    assert queued <= {
        str(task.task_uuid) for _, task in tasks_in(broker.bootstrap, settings["KAFKA_TASK_TOPIC"])
    }


@pytest.mark.slow
def test_a_short_restart_of_the_broker_is_ridden_out(broker, stack):
    settings = api_settings(broker.bootstrap, KAFKA_ACK_TIMEOUT_S="60")
    api = stack.start("api", settings)
    broker.kill()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(submit, api.url)
        broker.start()
        assert waiting.result().status == 200


@pytest.mark.slow
def test_a_frozen_broker_is_503_and_the_api_goes_on_when_it_thaws(broker, stack):
    api = stack.start("api", api_settings(broker.bootstrap, KAFKA_ACK_TIMEOUT_S="3"))
    broker.freeze()
    try:
        assert submit(api.url).status == 503
        assert api.get("/livez")[0] == 200
    finally:
        broker.thaw()
    api.wait_ready()
    assert submit(api.url).status == 200


@pytest.mark.slow
def test_a_topic_that_was_deleted_is_made_again(kafka, stack):
    settings = api_settings(kafka.bootstrap, KAFKA_ACK_TIMEOUT_S="5")
    api = stack.start("api", settings)
    assert submit(api.url).status == 200
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        admin.delete_topics([settings["KAFKA_TASK_TOPIC"]])
    finally:
        admin.close()
    wait_for(lambda: submit(api.url).status == 200, PATIENCE_S, "confirmed task")


def test_sigterm_lets_requests_end_and_exits_with_0(kafka, stack):
    settings = api_settings(kafka.bootstrap)
    api = stack.start("api", settings)
    requests = [BegunRequest(api.port) for _ in range(5)]
    api.process.signal(signal.SIGTERM)
    wait_for(lambda: "Shutting down" in api.log(), PATIENCE_S, "shutdown")
    answers = [request.finish() for request in requests]
    assert api.process.wait(PATIENCE_S) == 0
    tasks = tasks_in(kafka.bootstrap, settings["KAFKA_TASK_TOPIC"])
    assert sorted(answers) == sorted(str(task.task_uuid) for _, task in tasks)


def test_a_port_that_is_taken_is_named_in_one_line(stack):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        api = stack.start("api", api_settings("127.0.0.1:1", API_PORT=port), wait=False)
        assert api.process.wait(PATIENCE_S) == 1
    (line,) = api.process.output().splitlines()
    assert "API_PORT" in line
    assert port in line


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("API_PORT", "no"),
        ("BASIC_AUTH_PASSWORD", "pässword"),
        ("TRUSTED_URL_PREFIXES", "http://host:99999"),
        ("LOG_DIR", "/proc/none"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(stack, setting, value):
    api = stack.start("api", {setting: value}, wait=False)
    assert api.process.wait(PATIENCE_S) == 64
    (line,) = api.process.output().splitlines()
    assert setting in line


@pytest.mark.parametrize(
    ("host", "password", "warned"),
    [("127.0.0.1", "password", 0), ("0.0.0.0", "password", 1), ("0.0.0.0", "another", 0)],
)
def test_default_credentials_that_others_can_reach_are_warned_of_once(stack, host, password, warned):
    settings = api_settings("127.0.0.1:1", API_HOST=host, BASIC_AUTH_PASSWORD=password)
    api = stack.start("api", settings, wait=False)
    wait_for(lambda: api.get("/livez"), PATIENCE_S, "answer of /livez")
    assert api.log().count("well-known default") == warned
    assert password not in api.log()


@pytest.mark.parametrize(("believed", "client"), [("", "127.0.0.1"), ("127.0.0.1", "203.0.113.9")])
def test_a_proxys_word_on_the_client_counts_only_when_it_is_believed(stack, believed, client):
    settings = api_settings("127.0.0.1:1", FORWARDED_ALLOW_IPS=believed, AUTH_FAILURES_PER_MINUTE="1")
    api = stack.start("api", settings, wait=False)
    wait_for(lambda: api.get("/livez"), PATIENCE_S, "answer of /livez")
    submit(api.url, headers=basic("admin", "wrong") | {"X-Forwarded-For": "203.0.113.9"})
    wait_for(lambda: f" ms, {client} request_id=" in api.log(), PATIENCE_S, "line of the request")


@pytest.mark.parametrize(
    ("password", "content_type", "status"),
    [("wrong", "", 401), ("password", "", 413), ("password", "multipart/form-data; boundary=x", 501)],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_still_sends_gets_its_answer(stack, password, content_type, status, chunked):
    api = stack.start("api", api_settings("127.0.0.1:1"), wait=False)
    wait_for(lambda: api.get("/livez"), PATIENCE_S, "answer of /livez")
    body = (b" " * 100_000 for _ in range(100))
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": "10000000"}
    with closing(http.client.HTTPConnection("127.0.0.1", api.port, timeout=PATIENCE_S)) as connection:
        headers = basic("admin", password) | length | {"Content-Type": content_type}
        connection.request("POST", "/generate", body, headers, encode_chunked=chunked)
        assert connection.getresponse().status == status
