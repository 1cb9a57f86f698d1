"""No secret in any log, output or answer of the three services, whatever fails."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.api.api_client import basic
from tests.support.api.api_process import PATIENCE_S, api_settings, submit
from tests.support.api.users import write_users
from tests.support.http_server import serve
from tests.support.stack import Service
from tests.support.trio import Trio
from tests.support.waiting import wait_for

MARK = "TOPSECRET"
WEBHOOK = "whsec_" + base64.b64encode(b"webhook-TOPSECRET-of-32-bytes-00").decode()
PASSWORDS = {"BASIC_AUTH_PASSWORD": f"{MARK}-basic", "KAFKA_SASL_PASSWORD": f"{MARK}-sasl"}
STORE = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": f"{MARK}-store"}
LOUD = {"LOG_LEVEL": "DEBUG"}


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return write_users(tmp_path / "users", alice=f"{MARK}-alice")


def hashes_in(users: Path) -> list[str]:
    """The salts and digests."""
    return [part for line in users.read_text().splitlines() for part in line.split("$")[4:]]


def told_by(service: Service) -> str:
    return service.log() + service.process.output()


def assert_nothing_told(text: str, *others: str) -> None:
    encoded = [base64.b64encode(f"alice:{MARK}-alice".encode()).decode(), WEBHOOK, WEBHOOK[6:]]
    for secret in (MARK, *encoded, *others):
        assert secret not in text


@pytest.fixture
def model(model_dir: Path) -> dict[str, str]:
    return {"MODEL_FILE_DIR": str(model_dir), "MODEL_NAME": "centre"}


@pytest.mark.slow
def test_a_kafka_and_a_store_that_refuse_the_sign_in(kafka, s3_store, stack, users, model):
    # The broker speaks plain text alone, so that signing in fails in the middle of the exchange.
    settings = {
        **api_settings(kafka.bootstrap, KAFKA_ACK_TIMEOUT_S="1"),
        **LOUD, **PASSWORDS, **s3_store.environment(), **model,
        "WEBHOOK_SECRET": WEBHOOK,
        "BASIC_AUTH_USERS_FILE": str(users),
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "uvr",
    }  # fmt: skip
    services = [stack.start(name, settings, wait=False) for name in ("api", "processor", "uploader")]
    keyless = stack.start("uploader", settings | STORE, wait=False)
    for service in services:
        wait_for(lambda s=service: "kafka" in s.log().lower(), PATIENCE_S, f"trouble of {service.module}")
    wait_for(lambda: "refuses our keys" in str(keyless.get("/readyz")), PATIENCE_S, "trouble with the store")
    wait_for(lambda: services[0].get("/livez"), PATIENCE_S, "answer of the api")
    services.append(keyless)
    api = services[0]
    answers = [
        submit(api.url, headers=basic(name, password))
        for name, password in (("alice", f"{MARK}-alice"), ("alice", f"{MARK}-wrong"), (MARK, "x"))
    ]
    assert [answer.status for answer in answers] == [503, 401, 401]
    told = [str(service.get("/readyz")) for service in services]
    for service in services:
        service.stop()
    told += [told_by(service) for service in services] + [answer.body.decode() for answer in answers]
    assert_nothing_told("\n".join(told), *hashes_in(users))


@pytest.mark.slow
def test_jobs_that_fail_and_callbacks_that_nobody_takes(kafka, s3_store, module_stack, model, users):
    trio = Trio(
        module_stack, kafka.bootstrap, s3_store, Path(model["MODEL_FILE_DIR"]),
        MODEL_NAME="centre", WEBHOOK_SECRET=WEBHOOK, BASIC_AUTH_USERS_FILE=str(users), **LOUD,
        BASIC_AUTH_PASSWORD="password",  # the one that Trio submits with
    )  # fmt: skip
    try:
        trio.start()
        query = f"?X-Amz-Signature={MARK}-query#{MARK}-fragment"
        wav = audio.write(users.parent / "song.wav", audio.noise(1.0)).read_bytes()
        refusing = trio.host.on("/refusing", serve(b"no", 500))
        tasks = [
            trio.submit(trio.song(wav) + query),
            trio.submit(trio.song(b"this is no audio") + query),
            trio.submit(trio.song(serve(b"", 404)) + query),
        ]
        for task in tasks:
            trio.wait_for_callback(task)
        lost = trio.submit(trio.song(wav) + query, f"{refusing}{query}")
        uploader = trio.services["uploader"]
        wait_for(lambda: f"[{lost}] " in uploader.log(), PATIENCE_S, "work for the lost callback")
        trio.host.wait_for_requests(1, PATIENCE_S, "/refusing")
        for service in trio.services.values():
            service.stop()
        told = "\n".join(told_by(service) for service in trio.services.values())
    finally:
        trio.close()
    assert_nothing_told(told, s3_store.secret_key, *hashes_in(users))


@pytest.mark.slow
def test_settings_that_are_wrong_themselves(stack, users, tmp_path):
    wrong_users = tmp_path / "wrong"
    wrong_users.write_text(f"alice:{MARK}\n")
    file = tmp_path / "file"
    file.write_text(f"{MARK}\nof two lines\n")
    webhook = {"S3_BUCKET_NAME": "stems", "WEBHOOK_SECRET": f"{MARK} is no webhook secret"}
    wrong: list[tuple[str, Mapping[str, str], str]] = [
        ("api", {"BASIC_AUTH_PASSWORD": f"{MARK}é"}, "BASIC_AUTH_PASSWORD"),
        ("api", {"BASIC_AUTH_PASSWORD_FILE": str(file)}, "BASIC_AUTH_PASSWORD"),
        ("api", {"BASIC_AUTH_USERS_FILE": str(wrong_users)}, "line 1"),
        ("api", {"KAFKA_SASL_PASSWORD": MARK, "KAFKA_SASL_PASSWORD_FILE": str(file)}, "are both set"),
        ("uploader", webhook, "WEBHOOK_SECRET"),
        ("uploader", {"S3_BUCKET_NAME": "stems", "AWS_SECRET_ACCESS_KEY": MARK}, "AWS_ACCESS_KEY_ID"),
        ("processor", {"KAFKA_SASL_PASSWORD": MARK, "PROCESSOR_SLOTS": "none"}, "PROCESSOR_SLOTS"),
    ]
    services = [(stack.start(name, settings, wait=False), told) for name, settings, told in wrong]
    for service, told in services:
        assert service.process.wait(PATIENCE_S) == 64
        assert told in told_by(service)
        assert_nothing_told(told_by(service))


def test_the_secrets_that_are_looked_for_would_be_found():
    with pytest.raises(AssertionError):
        assert_nothing_told(f"Authorization: {basic('alice', f'{MARK}-alice')}")
