"""Tests that each program of the local stack gets the secrets that it needs, and no others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import config, execute, program_environment, store
from local.errors import LocalError
from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY

NEEDED = {
    "BASIC_AUTH_PASSWORD": {"api"},
    "WEBHOOK_SECRET": {"uploader"},
    "WEBHOOK_SIGNING_KEY": {"uploader"},
    "KAFKA_SASL_PASSWORD": {"api", "processor", "processor-2", "uploader"},
    "AWS_SECRET_ACCESS_KEY": {"api", "uploader"},
    "AWS_SESSION_TOKEN": {"api", "uploader"},
    "HTTPS_PROXY": {"processor", "processor-2", "uploader"},
    "GITHUB_TOKEN": set(),
    "DATABASE_URL": set(),
    "SSH_AUTH_SOCK": set(),
    "PIP_INDEX_URL": set(),
    "WEED_JWT_SIGNING_KEY": set(),
}
PROGRAMS = ("kafka", "store", "demo-song", "api", "processor", "processor-2", "uploader")


def loaded(root: Path, **given: str) -> config.LocalConfig:
    return config.load(root, {"PATH": "/usr/bin", "HOME": str(root), "PROCESSORS": "2", **given})


@pytest.mark.parametrize("given_servers", [True, False])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gets_the_secrets_that_it_needs(tmp_path, name, given_servers):
    servers = {"KAFKA_BOOTSTRAP_SERVERS": "k:1", "S3_ENDPOINT_URL": "https://s3.example"}
    secrets = {secret: f"marked {secret}" for secret in NEEDED}
    stack = loaded(tmp_path, **secrets, **(servers if given_servers else {}))
    env = program_environment.of_program(stack, name, stack.environment())
    marked = {secret for secret, value in env.items() if "marked" in value}
    expected = {secret for secret, programs in NEEDED.items() if name in programs}
    if not given_servers:  # the local store has keys of its own
        expected -= {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
        assert ("AWS_SECRET_ACCESS_KEY" in env) == (config.kind_of(name) in ("api", "processor", "uploader"))
    assert marked == expected
    assert "PATH" in env


def test_a_setting_in_small_letters_counts_and_is_kept_from_others_as_well(tmp_path):
    stack = loaded(tmp_path, webhook_secret="marked", max_body_bytes="1")
    everything = stack.environment()
    assert "webhook_secret" in program_environment.of_program(stack, "uploader", everything)
    assert "webhook_secret" not in program_environment.of_program(stack, "processor", everything)
    assert "max_body_bytes" in program_environment.of_program(stack, "api", everything)


def test_each_service_has_keys_of_the_store_that_do_only_what_it_needs(tmp_path):
    stack = loaded(tmp_path)
    everything = stack.environment()
    api, processor, second, uploader = (
        program_environment.of_program(stack, name, everything)["AWS_ACCESS_KEY_ID"]
        for name in ("api", "processor", "processor-2", "uploader")
    )
    assert len({api, processor, uploader}) == 3
    assert processor == second
    store.prepare(store.make_spec(stack.store_dir, "bucket", 8333, "my/"))
    identities = json.loads((stack.store_dir / "identities.json").read_text())["identities"]
    actions = {who["credentials"][0]["accessKey"]: who["actions"] for who in identities}
    assert actions[api] == ["Read:bucket", "List:bucket", "Write:bucket/my/uploads/*"]
    assert set(actions[processor]) == {
        *("Read:bucket/my/uploads/*", "Read:bucket/my/cache/*"),
        *("Read:bucket/my/stage/*", "Write:bucket/my/stage/*", "List:bucket/my/stage/*"),
    }
    assert "Write" in actions[uploader]


def test_a_processor_gets_the_keys_to_a_store_elsewhere_that_are_meant_for_it(tmp_path):
    given = {"AWS_ACCESS_KEY_ID": "theirs", "AWS_SECRET_ACCESS_KEY": "theirs"}
    given["AWS_SESSION_TOKEN"] = "theirs"
    own = {"PROCESSOR_AWS_ACCESS_KEY_ID": "mine", "PROCESSOR_AWS_SECRET_ACCESS_KEY_FILE": "secret"}
    own["PROCESSOR_AWS_SESSION_TOKEN_FILE"] = "token"
    stack = loaded(tmp_path, S3_ENDPOINT_URL="https://s3.example", **given, **own)
    env = program_environment.of_program(stack, "processor", stack.environment())
    assert env["AWS_ACCESS_KEY_ID"] == "mine"
    assert env["AWS_SECRET_ACCESS_KEY_FILE"] == str(tmp_path / "secret")
    assert env["AWS_SESSION_TOKEN_FILE"] == str(tmp_path / "token")
    assert not env.keys() & {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert own.keys() <= stack.settings().keys()


@pytest.mark.parametrize("name", ["api", "processor", "processor-2", "uploader"])
@pytest.mark.parametrize(
    ("file", "text"),
    [("config", "[default]\ns3 =\n    use_accelerate_endpoint = true\n"), ("credentials", "[default\n")],
)
def test_aws_files_of_the_home_directory_change_nothing_where_the_store_is_ours(tmp_path, name, file, text):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / file).write_text(text)
    stack = loaded(tmp_path)
    env = program_environment.of_program(stack, name, stack.environment())
    done = run_forked("tests.support.local.first_request", environment=env | {"PYTHONPATH": str(REPOSITORY)})
    assert done.stdout == f"{stack.store_url}/uvr-stems\n", done.stderr


def test_aws_files_of_the_home_directory_count_for_a_store_elsewhere(tmp_path):
    env = loaded(tmp_path, S3_ENDPOINT_URL="https://s3.example").environment()
    assert not env.keys() & {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}


def test_what_is_left_for_a_programs_start_is_its_owners_alone(tmp_path):
    stack = loaded(tmp_path, WEBHOOK_SECRET="whsec_x")
    program_environment.write_all(stack, stack.environment())
    for name in PROGRAMS:
        assert program_environment.file_of(stack, name).stat().st_mode & 0o077 == 0
    assert (stack.run_dir / "environment").stat().st_mode & 0o077 == 0


def test_a_program_becomes_what_its_file_says(tmp_path):
    file = tmp_path / "environment.json"
    file.write_text(json.dumps({"OWN": "a 'b' %c", "PATH": "/usr/bin:/bin"}))
    done = subprocess.run(
        [sys.executable, "-m", "local.launch", str(file), "sh", "-c", 'echo "$OWN $HEALTH_PORT"'],
        env={"HEALTH_PORT": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "a 'b' %c 1\n"


def test_processors_are_told_apart(tmp_path):
    stack = loaded(tmp_path, WORKER_ID="me", PROCESSOR_HEALTH_PORT="9001")
    everything = stack.environment()
    first, second = (
        program_environment.of_program(stack, name, everything) for name in ("processor", "processor-2")
    )
    assert (first["WORKER_ID"], second["WORKER_ID"]) == ("me", "me-2")
    assert first["LOG_DIR"] != second["LOG_DIR"]
    assert first["OUTPUT_DIR"] == second["OUTPUT_DIR"]
    assert stack.service_environment("processor-2") == {"HEALTH_PORT": "9011"}
    assert 9011 in stack.used_ports().values()
    assert stack.services == ("api", "processor", "processor-2", "uploader")


@pytest.mark.parametrize("count", ["0", "-1", "two", "17", "1.5"])
def test_a_wrong_number_of_processors_is_told(tmp_path, count):
    with pytest.raises(LocalError, match=r"PROCESSORS: expected a number from 1 to 16 \(got"):
        loaded(tmp_path, PROCESSORS=count)


def test_a_processors_port_that_another_has_is_told(tmp_path):
    with pytest.raises(LocalError, match="are both 8011"):
        loaded(tmp_path, UPLOADER_HEALTH_PORT="8011")


def test_without_the_demo_its_origin_is_not_trusted(tmp_path):
    stack = loaded(tmp_path, DEMO_PORT="0", TRUSTED_URL_PREFIXES="http://127.0.0.1:9000")
    assert stack.environment()["TRUSTED_URL_PREFIXES"] == "http://127.0.0.1:9000"
    assert "demo-song" not in stack.supervised
    assert "DEMO_SONG_URL" not in stack.environment()


def test_the_console_offers_the_demos_song_or_that_of_the_user(tmp_path):
    stack = loaded(tmp_path, DEMO_PORT="8766")
    env = program_environment.of_program(stack, "api", stack.environment())
    assert env["DEMO_SONG_URL"] == "http://127.0.0.1:8766/audio_example.mp3"
    assert "CC BY 3.0" in env["DEMO_SONG_LABEL"]
    own = loaded(tmp_path, DEMO_SONG_URL="https://a.example/b")
    assert own.environment()["DEMO_SONG_URL"] == "https://a.example/b"


@pytest.mark.parametrize(
    ("given", "admins"),
    [
        ({}, "admin"),
        ({"BASIC_AUTH_USERNAME": "dj"}, "dj"),
        ({"ADMIN_USERNAMES": "boss"}, "boss"),
        ({"BASIC_AUTH_USERS_FILE": "users"}, None),
    ],
)
def test_the_only_user_is_an_administrator_unless_somebody_else_is(tmp_path, given, admins):
    stack = loaded(tmp_path, **given)
    env = program_environment.of_program(stack, "api", stack.environment())
    assert env.get("ADMIN_USERNAMES") == admins


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("admin", "password")),
        ({"BASIC_AUTH_USERNAME": "bob", "BASIC_AUTH_PASSWORD": "x"}, ("bob", "x")),
        ({"BASIC_AUTH_PASSWORD_FILE": "secret"}, ("admin", "from a file")),
        ({"BASIC_AUTH_USERS_FILE": "users"}, (None, None)),
        ({"UVR_USERNAME": "alice", "UVR_PASSWORD": "hers"}, ("alice", "hers")),
    ],
)
def test_exec_tells_uvr_where_the_stack_is_and_who_asks(tmp_path, given, expected):
    (tmp_path / "secret").write_text("from a file\n")
    env = execute.environment(loaded(tmp_path, UVR_URL="https://else.example", API_PORT="8100", **given))
    assert env["UVR_URL"] == "http://127.0.0.1:8100"
    assert (env.get("UVR_USERNAME"), env.get("UVR_PASSWORD")) == expected
    assert env["PATH"].split(os.pathsep)[0] == str(tmp_path / ".local" / "bin")


def test_a_program_in_python_that_exec_runs_finds_the_client_and_the_services(tmp_path):
    env = execute.environment(loaded(tmp_path))
    assert env["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), str(tmp_path / "client")]


def test_directories_of_settings_are_meant_from_the_checkout_wherever_a_command_runs(tmp_path):
    env = execute.environment(loaded(tmp_path, OUTPUT_DIR="stage", BASIC_AUTH_USERS_FILE="users"))
    assert env["OUTPUT_DIR"] == str(tmp_path / "stage")
    assert env["BASIC_AUTH_USERS_FILE"] == str(tmp_path / "users")
