"""The services at a Kafka that is somebody else's: SASL/SCRAM over TLS, client certificates, and ACLs."""

import contextlib
import json
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from kafka import KafkaProducer
from kafka.admin import ACLOperation, ResourceType
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from common.kafka import clients, topics
from common.settings.loading import BadSettings, load
from common.settings.schema import ProcessorSettings
from tests.support import documents
from tests.support.api.api_process import submit
from tests.support.api.late_answers import late_answers
from tests.support.common.deadletter.dead_letters import ONE, letter, run_command, task
from tests.support.common.kafka.group import Polling, closing_all, read_all
from tests.support.common.kafka.secure_kafka import AUTHORITY, PASSWORD, USER, SecureKafka
from tests.support.paths import TLS
from tests.support.stack import Stack
from tests.support.waiting import wait_for

pytestmark = pytest.mark.network

# What docs/production.md says that an account needs, for names that begin with a common prefix.
RIGHTS = [
    (ResourceType.TOPIC, ACLOperation.CREATE),
    (ResourceType.TOPIC, ACLOperation.READ),
    (ResourceType.TOPIC, ACLOperation.WRITE),
    (ResourceType.GROUP, ACLOperation.READ),
    (ResourceType.TRANSACTIONAL_ID, ACLOperation.WRITE),
]
PREFIX = "uvr_"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    server = SecureKafka(tmp_path_factory.mktemp("secure-kafka"))
    try:
        server.start()
        server.allow(f"User:{USER}", PREFIX, RIGHTS)
        server.allow("User:CN=client", PREFIX, RIGHTS)
        yield server
    finally:
        server.process.kill()


@pytest.fixture
def environ(broker: SecureKafka) -> dict[str, str]:
    """The variables of a service with names of its own and the right password."""
    tag = uuid4().hex[:8]
    return {
        "KAFKA_BOOTSTRAP_SERVERS": broker.sasl,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SASL_PASSWORD": PASSWORD,
        "KAFKA_SSL_CAFILE": str(AUTHORITY),
        "KAFKA_TASK_TOPIC": f"uvr_tasks_{tag}",
        "KAFKA_RESULT_TOPIC": f"uvr_results_{tag}",
        "KAFKA_DEAD_LETTER_TOPIC": f"uvr_dead_{tag}",
        "KAFKA_DELIVERY_TOPIC": f"uvr_deliveries_{tag}",
        "KAFKA_STATUS_TOPIC": f"uvr_status_{tag}",
        "KAFKA_CONTROL_TOPIC": f"uvr_control_{tag}",
        "KAFKA_MODELS_TOPIC": f"uvr_models_{tag}",
        "KAFKA_BATCH_TOPIC": f"uvr_batches_{tag}",
        "RETRY_DELAYS_S": "1,2",
        "KAFKA_TOPIC_PARTITIONS": "2",
        "KAFKA_PROCESSOR_GROUP_ID": f"uvr_group_{tag}",
        "KAFKA_SESSION_TIMEOUT_MS": "6000",
    }


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch):
    def read(environ: dict[str, str]) -> ProcessorSettings:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return ProcessorSettings(worker_id="w0")

    return read


def test_the_documented_rights_are_those_that_these_tests_run_with():
    commands = documents.block("docs/production.md", "kafka-acls.sh")
    assert "--resource-pattern-type prefixed" in commands
    given = [
        (ResourceType[resource.upper().replace("-", "_")], ACLOperation[operation.upper()])
        for resource, operations in re.findall(rf"^\$acls --(\S+) {PREFIX}( .*)$", commands, re.MULTILINE)
        for operation in re.findall(r"--operation (\w+)", operations)
    ]
    assert given == RIGHTS


def make_topics(settings: ProcessorSettings) -> None:
    admin = clients.admin(settings)
    with contextlib.closing(admin):
        topics.ensure(admin, settings)


def transaction_and_its_reader(settings: ProcessorSettings) -> list[bytes]:
    """The values that a worker's consumer gets of one committed and one aborted transaction."""
    make_topics(settings)
    with closing_all() as closing:
        producer = closing(clients.transactional_producer(settings, f"{settings.kafka_group_id}-w0"))
        for value, end in ((b"kept", producer.commit_transaction), (b"lost", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send(settings.kafka_task_topic, value, partition=0).get(timeout=30)
            end()
        consumer = clients.consumer(settings, settings.kafka_group_id, 60000)
        polling = closing(Polling(consumer))
        consumer.subscribe([settings.kafka_task_topic])
        wait_for(lambda: polling.records, 60, "the committed record")
        clients.leave_group(settings, settings.kafka_group_id)
        return [record.value for record in polling.records]


@pytest.mark.slow
def test_admin_producer_and_consumer_get_through_with_scram_over_tls(environ, settings_of):
    assert transaction_and_its_reader(settings_of(environ)) == [b"kept"]


def test_a_client_certificate_does_instead_of_a_password(environ, broker, settings_of):
    certificate = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.ssl,
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CAFILE": str(AUTHORITY),
        "KAFKA_SSL_CERTFILE": str(TLS / "kafka-client.pem"),
        "KAFKA_SSL_KEYFILE": str(TLS / "kafka-client.key.pem"),
    }
    without_sasl = {name: value for name, value in environ.items() if "SASL" not in name}
    assert transaction_and_its_reader(settings_of(without_sasl | certificate)) == [b"kept"]


REFUSALS = [
    pytest.param({"KAFKA_SASL_PASSWORD": "wrong"}, "SaslAuthenticationFailedError", id="wrong password"),
    pytest.param(
        {"KAFKA_SSL_CAFILE": str(TLS / "authority.pem")}, "CERTIFICATE_VERIFY_FAILED", id="authority"
    ),
    pytest.param({"KAFKA_BOOTSTRAP_SERVERS": "localhost"}, "CERTIFICATE_VERIFY_FAILED", id="other name"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("changed", "reason"), REFUSALS)
def test_who_is_not_right_is_refused_and_the_log_says_why(environ, settings_of, caplog, changed, reason):
    if "KAFKA_BOOTSTRAP_SERVERS" in changed:
        port = environ["KAFKA_BOOTSTRAP_SERVERS"].partition(":")[2]
        changed = {"KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port}"}
    settings = settings_of(environ | changed)

    with pytest.raises(KafkaError, match=reason):
        clients.admin(settings)
    assert reason in caplog.text


@pytest.mark.slow
def test_the_reason_is_heard_even_if_it_comes_together_with_the_end_of_the_connection(
    environ, settings_of, broker: SecureKafka
):
    with late_answers(broker.sasl) as address:
        changed = {"KAFKA_BOOTSTRAP_SERVERS": address, "KAFKA_SASL_PASSWORD": "wrong"}
        with pytest.raises(KafkaError, match="invalid credentials"):
            clients.admin(settings_of(environ | changed))


def test_a_certificate_that_is_not_there_stops_the_start(environ, monkeypatch):
    for name, value in {**environ, "KAFKA_SSL_CAFILE": "/nowhere/ca.pem"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=r"KAFKA_SSL_CAFILE: .*'/nowhere/ca.pem'"):
        load(ProcessorSettings)


def test_a_name_that_the_certificate_lacks_passes_where_that_is_said(environ, settings_of):
    port = environ["KAFKA_BOOTSTRAP_SERVERS"].partition(":")[2]
    changed = {"KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port}", "KAFKA_SSL_CHECK_HOSTNAME": "false"}
    make_topics(settings_of(environ | changed))


def test_an_account_without_rights_to_a_name_is_told_so(environ, settings_of):
    settings = settings_of(environ | {"KAFKA_TASK_TOPIC": "somebody_elses"})
    with pytest.raises(TopicAuthorizationFailedError):
        make_topics(settings)


def test_a_worker_does_its_jobs_there(environ, broker: SecureKafka, stack: Stack):
    log_file = stack.directory / "sleeper.log"
    worker = stack.start("tests.support.common.worker.sleeper", {**environ, "SLEEPER_LOG": str(log_file)})
    producer = KafkaProducer(bootstrap_servers=broker.plain)
    with contextlib.closing(producer):
        for number in range(6):
            producer.send(environ["KAFKA_TASK_TOPIC"], json.dumps({"i": number, "s": 0.1}).encode())
    results = wait_for(
        lambda: found if len(found := results_at(broker, environ)) >= 6 else None, 60, "six results"
    )
    assert sorted(results) == list(range(6))
    assert worker.stop() == 0


def results_at(broker: SecureKafka, environ: dict[str, str]) -> list[int]:
    return [json.loads(record.value)["i"] for record in read_all(broker.plain, environ["KAFKA_RESULT_TOPIC"])]


def test_the_api_is_ready_and_takes_a_task_there(environ, broker: SecureKafka, stack: Stack):
    api = stack.start("api", environ)
    task_uuid = submit(api.url).json()["task_uuid"]
    records = read_all(broker.plain, environ["KAFKA_TASK_TOPIC"])
    assert [record.key for record in records] == [task_uuid.encode()]


@pytest.mark.slow
def test_dead_letters_are_replayed_there_and_a_wrong_password_is_told(
    environ, broker: SecureKafka, settings_of
):
    make_topics(settings_of(environ))
    dead = letter(task().to_bytes(), environ["KAFKA_TASK_TOPIC"], environ["KAFKA_DEAD_LETTER_TOPIC"])
    with contextlib.closing(KafkaProducer(bootstrap_servers=broker.plain)) as producer:
        producer.send(dead.topic, dead.value, dead.key, headers=list(dead.headers)).get(timeout=30)
    done = run_command(environ, "replay", "--task", str(ONE))
    assert done.returncode == 0, done.stderr
    assert len(read_all(broker.plain, environ["KAFKA_TASK_TOPIC"])) == 1
    for arguments in (["list"], ["replay", "--task", str(ONE)]):
        done = run_command({**environ, "KAFKA_SASL_PASSWORD": "wrong"}, *arguments)
        assert done.returncode == 69
        asked, why = done.stderr.splitlines()
        assert asked == f"asking Kafka at {environ['KAFKA_BOOTSTRAP_SERVERS']}"
        assert "invalid credentials" in why


@pytest.mark.slow
def test_a_worker_with_a_wrong_password_is_not_ready_and_its_log_says_why(
    environ, broker: SecureKafka, stack: Stack
):
    with late_answers(broker.sasl) as address:
        settings = {
            **environ,
            "KAFKA_BOOTSTRAP_SERVERS": address,
            "KAFKA_SASL_PASSWORD": PASSWORD + "!",
            "SLEEPER_LOG": str(stack.directory / "sleeper.log"),
        }
        worker = stack.start("tests.support.common.worker.sleeper", settings, wait=False)
        wait_for(lambda: "topics not created" in worker.log(), 60, "our own line about it")
    (line, *_) = [line for line in worker.log().splitlines() if "topics not created" in line]
    assert "invalid credentials" in line
    status, body = worker.get("/readyz")
    assert status == 503
    assert not body["checks"]["kafka"]["ok"]
    assert PASSWORD not in worker.log()
    assert worker.stop() == 0
