"""docker-compose.yml under a real engine: what docs/docker.md says of it, done by its own commands.

The tests share one stack: each finds it ready and leaves it ready.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.storage.stage import MARKER
from local import broker
from tests.docker import stand_ins
from tests.docker.project import Project
from tests.docker.stack import API, PATIENCE_S, STORE, Stack, properties
from tests.support import audio, documents
from tests.support.api import task_client
from tests.support.api.api_client import basic
from tests.support.api.api_process import submit
from tests.support.deploy.compose import TRIO
from tests.support.documented_commands import in_compose
from tests.support.http_server import ScriptedServer, serve
from tests.support.trio import fetch_stem
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

SERVERS = ("kafka", "seaweedfs")
# These properties differ from the local stack's broker: its addresses, directories and voters.
PLACES = {
    "listeners",
    "advertised.listeners",
    "log.dirs",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
}

# Prints the names of imported modules that were compiled for this process alone.
WITHOUT_BYTECODE = """
import os, sys
import deploy.probe, uploader.run
files = {name: getattr(module, "__cached__", None) for name, module in sys.modules.items()}
print(*(name for name, file in files.items() if file and not os.path.exists(file)))
"""


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Stack]:
    host = ScriptedServer("0.0.0.0")
    host.on("/hook", serve(b"", 204, "text/plain"))
    origin = f"http://host.docker.internal:{host.port}"
    models = project.engine.models
    for path in (models, *models.rglob("*")):
        os.chown(path, 10001, 10001)
    settings = {
        "MODEL_NAME": "centre",
        "MODEL_FILE_DIR": str(models),
        "TRUSTED_URL_PREFIXES": origin,
        "KAFKA_SESSION_TIMEOUT_MS": "6000",
        "KAFKA_TOPIC_PARTITIONS": "3",
        "RETRY_DELAYS_S": "5,10",
    }
    made = Stack(project, host, origin, settings)
    with host:
        made.up("--build")
        yield made


def test_up_waits_until_all_are_healthy_and_builds_three_images(stack: Stack):
    assert {stack.project.health(name) for name in (*TRIO, *SERVERS)} == {"healthy"}
    images = stack.project.docker(
        "images", "--format", "{{.Repository}}", "--filter", "reference=uvr-*"
    ).split()
    assert sorted(images) == ["uvr-api", "uvr-processor", "uvr-uploader"]
    published = stack.project.docker("ps", "--format", "{{.Ports}}")
    assert set(re.findall(r"\S+->\S+", published)) == {"127.0.0.1:8000->8000/tcp", "127.0.0.1:8333->8333/tcp"}
    assert "well-known default" not in stack.project.compose("logs", "api")


def test_an_image_keeps_nothing_of_what_installed_its_packages(stack: Stack):
    found = stack.project.docker(
        "run", "--rm", "--network", "none", "uvr-uploader", "ls", "-A", "/", "/tmp", "/venv/bin"
    )
    assert not {"tools", "uv", "pip", "requirements-uploader.txt"} & set(found.split())


def test_a_container_compiles_no_module_that_it_imports(stack: Stack):
    """It cannot keep bytecode, so each start and health check would compile what has none."""
    found = stack.project.compose("exec", "-T", "uploader", "python", "-c", WITHOUT_BYTECODE)
    assert found.split() == []


def test_a_song_of_the_host_goes_all_the_way(stack: Stack, tmp_path: Path):
    samples = audio.feelings(0.9).mix[: 44100 * 5]
    body = stack.separate(samples, tmp_path)
    assert body["status"] == "success", body
    # Clients reach the store at its published address, so the link must have that address.
    assert body["vocals"].startswith(f"{STORE}/uvr-stems/")
    parts = [fetch_stem(body[name], tmp_path) for name in ("vocals", "instrumental")]
    assert np.abs(sum(parts) - samples * np.float32(body["gain"])).max() <= 1.01 / 32768
    staged = f"find /outputs -type f ! -name {MARKER}"
    wait_for(lambda: not stack.project.compose("exec", "-T", "uploader", *staged.split()), 30, "empty stage")


def test_the_broker_has_every_property_of_the_local_one(stack: Stack, tmp_path: Path):
    theirs = properties(
        stack.project.compose("exec", "-T", "kafka", "cat", "/opt/kafka/config/server.properties")
    )
    (tmp_path / "log").mkdir()  # otherwise `prepare` would start a Java that formats it
    broker.prepare(broker.BrokerSpec(tmp_path, 1, 2, broker.default_cache()))
    local = properties((tmp_path / "server.properties").read_text())
    assert {k: v for k, v in theirs.items() if k not in PLACES} == {
        k: v for k, v in local.items() if k not in PLACES
    }


def test_a_worker_that_is_killed_in_a_job_comes_back_and_does_it(stack: Stack, tmp_path: Path):
    # A fast machine separates between two looks at the state.
    stack.project.engine.run("pkill", "-STOP", "-f", "python -m processor.engine.process")
    task = stack.submit(audio.noise(5), tmp_path)
    wait_for(lambda: task_client.task(API, task)["state"] == "separating", PATIENCE_S, "separation")
    stack.project.engine.run("pkill", "-KILL", "-f", "python -m processor$")
    assert task_client.task(API, task)["state"] == "separating"
    assert stack.callback(task)["status"] == "success"
    assert len([r for r in stack.host.requests("/hook") if r.json()["task_uuid"] == task]) == 1
    assert stack.project.inspect("processor")[0]["RestartCount"] == 1


def test_a_processor_whose_memory_runs_out_loses_its_engine_alone(stack: Stack, tmp_path: Path):
    def engines() -> int:
        return stack.project.compose("logs", "processor").count("engine ready")

    (container,) = stack.project.containers("processor")
    before = stack.project.inspect("processor")[0]["RestartCount"]
    # An engine keeps the memory of its last song for the next one: a fresh engine has none to keep.
    former = engines()
    stack.project.engine.run("pkill", "-KILL", "-f", "python -m processor.engine.process")
    wait_for(lambda: engines() > former, PATIENCE_S, "another engine")
    used = stack.project.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container)
    limit = f"{float(used.partition('MiB')[0]) + 20:.0f}m"
    stack.project.docker("update", "--memory", limit, "--memory-swap", limit, container)
    task = stack.submit(audio.noise(30), tmp_path)
    state = wait_for(lambda: waits_for_another_try(task), PATIENCE_S, "failed try")
    stack.project.docker("update", "--memory", "8g", "--memory-swap", "8g", container)
    assert state["error_code"] == "out_of_memory", state
    assert stack.callback(task)["status"] == "success"
    assert stack.project.inspect("processor")[0]["RestartCount"] == before


def waits_for_another_try(task_uuid: str) -> dict[str, Any] | None:
    state = task_client.task(API, task_uuid)
    return state if "next_try_at" in state else None


def test_a_song_outlives_a_restart_of_kafka(stack: Stack, tmp_path: Path):
    task = stack.submit(audio.noise(30), tmp_path)
    stack.project.compose("restart", "kafka")
    assert stack.callback(task)["status"] == "success"
    assert stack.callback(stack.submit_until_taken(audio.noise(1), tmp_path))["status"] == "success"


def test_the_documented_commands_work_as_they_are_written(stack: Stack):
    (stack.project.directory / "password").write_text("a password\n")
    for command in in_compose():
        stack.project.run(command)
    assert (stack.project.directory / "users").read_text().startswith("alice:")
    # grep ends with 1 where no group was balanced again
    watching = documents.command("docs/docker.md", "grep rebalance")
    stack.project.run(f"{watching} || test $? = 1")


def test_three_processors_share_the_work(stack: Stack, tmp_path: Path):
    """Leaves three processors: the upgrade leaves one."""
    stack.up("--scale", "processor=3", "--no-recreate")
    assert len(stack.project.containers("processor")) == 3
    tasks = [stack.submit(audio.noise(5, seed), tmp_path) for seed in range(4)]
    assert {stack.callback(task)["status"] for task in tasks} == {"success"}


def test_an_upgrade_leaves_kafka_and_the_store(stack: Stack, tmp_path: Path):
    """The upgraded services have one processor, and their stage in the bucket."""

    def started() -> dict[str, tuple[str, str, str]]:
        found = {name: stack.project.inspect(name)[0] for name in (*SERVERS, *TRIO)}
        return {name: (of["Id"], of["State"]["StartedAt"], of["Image"]) for name, of in found.items()}

    def view() -> str:
        return stack.project.compose("exec", "-T", "api", "stat", "-c", "%i %U %a", "/view/view.sqlite3")

    samples = audio.feelings(0.9).mix[: 44100 * 5]
    in_directory = stack.callback(stack.submit_file(samples, tmp_path))
    before, view_before = started(), view()
    with (stack.project.directory / "common" / "errors.py").open("a") as file:
        file.write("\n# a change\n")
    stack.up("--build", STAGE="s3")
    after = started()
    assert {name for name in before if before[name] == after[name]} == set(SERVERS)
    assert {name for name in before if before[name][2] != after[name][2]} == set(TRIO)
    assert view() == view_before, "the view is not made anew with its container"
    assert len(stack.project.containers("processor")) == 1
    in_bucket = stack.callback(stack.submit_file(samples, tmp_path))
    assert in_bucket["status"] == "success", in_bucket
    parts = [fetch_stem(in_bucket[name], tmp_path) for name in ("vocals", "instrumental")]
    assert np.abs(sum(parts) - samples * np.float32(in_bucket["gain"])).max() <= 1.01 / 32768
    assert in_directory["stems"]["vocals"]["sha256"] == in_bucket["stems"]["vocals"]["sha256"]


@pytest.fixture(scope="module")
def known(stack: Stack) -> set[str]:
    """Returns the ids of the tasks that the api lists when a test first asks."""
    return stack.listed()


def test_each_container_ends_in_order_and_in_time(stack: Stack, known: set[str]):
    assert len(known) == stack.songs
    stack.project.compose("stop")
    codes = {name: stack.project.inspect(name)[0]["State"]["ExitCode"] for name in (*TRIO, *SERVERS)}
    # Java's exit code contains the signal's number.
    assert codes == {"api": 0, "processor": 0, "uploader": 0, "kafka": 143, "seaweedfs": 0}


def test_songs_are_there_after_down_and_in_a_restored_backup(stack: Stack, known: set[str], tmp_path: Path):
    """Leaves workers with WORKER_ID=one."""
    backup = documents.block("docs/production.md", "tar cSzf")
    restore = documents.block("docs/production.md", "tar xzf")
    # Both blocks end with the same command. It is run once, with the volumes that hold all of the backup.
    saving, up = backup.strip().rsplit("\n", 1)
    assert restore.strip().endswith(f"\n{up}")
    stack.project.compose("down")
    stack.project.run(saving)
    stack.project.compose("down", "--volumes")
    stack.settings["WORKER_ID"] = "one"
    stack.project.write_env(stack.settings)
    stack.project.run(restore)
    assert len(known) == stack.songs
    assert stack.listed() == known
    stored = [task_client.task(API, uuid) for uuid in known]
    results = [task["result"] for task in stored if task["state"] == "succeeded"]
    assert results
    assert len(fetch_stem(results[0]["vocals"], tmp_path)) > 0
    assert stack.separate(audio.noise(1), tmp_path)["status"] == "success"


def test_what_cannot_work_is_told_at_once_and_held_until_it_is_mended(stack: Stack):
    """A secret that cannot be read holds the api, and a wrong setting the processor."""
    secret = stack.project.directory / "password"
    secret.write_text("from a file\n")
    secret.chmod(0o600)
    with pytest.raises(AssertionError, match="unhealthy"):
        stack.up(BASIC_AUTH_PASSWORD_FILE="./password", OUTPUT_FORMAT="aiff")
    for service, name in (("api", "BASIC_AUTH_PASSWORD_FILE"), ("processor", "OUTPUT_FORMAT")):
        wait_for(lambda service=service: stack.project.health(service) == "unhealthy", PATIENCE_S, service)
        (found,) = stack.project.inspect(service)
        assert (found["State"]["Status"], found["RestartCount"]) == ("running", 0)
        health = found["State"]["Health"]
        # Every check counts as failed, so none began in the start period, where Docker ignores failures.
        assert len(health["Log"]) == health["FailingStreak"]
        assert "exit code 64" in health["Log"][-1]["Output"]
        assert name in stack.project.compose("logs", service)
    os.chown(secret, 10001, 10001)
    stack.project.compose("up", "-d", "--wait", "--force-recreate", "api")
    assert submit(API).status == 401
    assert submit(API, headers=basic("admin", "from a file")).status == 200


def test_a_taken_worker_id_is_told_at_once(stack: Stack):
    stack.project.write_env(stack.settings)  # the first one has the same WORKER_ID
    stack.project.compose("up", "-d", "--no-deps", "--no-recreate", "--scale", "uploader=2", "uploader")

    def health() -> dict[str, str]:
        states = [found["State"]["Health"] for found in stack.project.inspect("uploader")]
        return {state["Status"]: "".join(check["Output"] for check in state["Log"][-1:]) for state in states}

    wait_for(lambda: health().keys() == {"healthy", "unhealthy"}, PATIENCE_S, "one held of two")
    assert "exit code 65" in health()["unhealthy"]


def test_the_images_that_tests_put_in_place_are_the_only_difference(stack: Stack):
    named = stack.project.compose("config", "--images").split()
    assert set(named) == {"uvr-api", "uvr-processor", "uvr-uploader", stand_ins.KAFKA, stand_ins.STORE}
