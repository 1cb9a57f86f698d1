"""Tests the local stack as its user works with it: the printed commands run, and files stay private."""

import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import soundfile

from local import leftovers
from local.ports import answers
from tests.support import documents
from tests.support.documented_commands import CLAIMS, IN_THE_STACK, documented, in_the_stack
from tests.support.local.checkout import ODD_NAME, Checkout
from tests.support.ports import take_port
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(900)]

SECRETS = {
    "BASIC_AUTH_PASSWORD": "the api's",
    "WEBHOOK_SECRET": "whsec_dGhlIHVwbG9hZGVyJ3Mgb3duLCBhbmQgbG9uZyBlbm91Z2g=",
    "GITHUB_TOKEN": "nobody's",
}
NEEDED = {"api": {"BASIC_AUTH_PASSWORD"}, "uploader": {"WEBHOOK_SECRET"}}


class Stack(Checkout):
    """A checkout whose stack runs with two processors; `started` is the output of the first start, a demo."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.started = ""
        # Two partitions for each of three processors.
        self.env |= SECRETS | {"PROCESSORS": "2", "KAFKA_TOPIC_PARTITIONS": "6"}
        self.use_centre_model()

    def run_here(self, command: str, directory: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs a shell command in `directory`, with the path of `start_local.sh`."""
        line = command.replace("./start_local.sh", shlex.quote(str(self.root / "start_local.sh")))
        return subprocess.run(
            ["bash", "-c", line],
            cwd=directory,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def task(self, task_uuid: str) -> dict:
        credentials = ("admin", SECRETS["BASIC_AUTH_PASSWORD"])
        url = f"http://127.0.0.1:{self.env['API_PORT']}/tasks/{task_uuid}"
        return requests.get(url, auth=credentials, timeout=10).json()

    def wait_for_success(self, task_uuid: str) -> dict:
        def succeeded() -> dict | None:
            task = self.task(task_uuid)
            assert task["state"] not in ("failed", "cancelled"), task
            return task if task["state"] == "succeeded" else None

        return wait_for(succeeded, 120, f"success of {task_uuid}")

    def ports_of(self, text: str) -> str:
        """`text` of a document with the ports of this stack in the places of the usual ones."""
        usual = {"8000": "API_PORT", "8001": "PROCESSOR_HEALTH_PORT", "8765": "DEMO_PORT"}
        return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda match: self.env[usual[match[0]]], text)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("commands") / ODD_NAME)
    try:
        started = made.run("demo")
        assert started.returncode == 0, started.stdout
        made.started = started.stdout
        yield made
    finally:
        leftovers.end(made.root, grace_s=0)


def called_back(demo: str) -> dict[str, Any]:
    """Returns the callback that a demo has printed."""
    return json.loads(next(line for line in demo.splitlines() if line.startswith('{"task_uuid"')))


def curls(text: str) -> list[str]:
    """Returns the curl commands in `text`, each with its continuation lines."""
    return re.findall(r"^ *(curl -u (?:.*\\\n)*.*)$", text, re.MULTILINE)


def write_netrc(tmp_path: Path) -> Path:
    path = tmp_path / ".netrc"
    path.write_text(f"default login admin password {json.dumps(SECRETS['BASIC_AUTH_PASSWORD'])}\n")
    return path


def answered(stack: Stack, command: str, tmp_path: Path) -> str:
    """Runs a line for curl as it was printed, with a password from `.netrc`. Returns the task's id."""
    write_netrc(tmp_path)
    line = re.sub(r"-u \S+", "--silent --netrc", command)
    done = stack.run_here(line, tmp_path, HOME=str(tmp_path))
    answer = json.loads(done.stdout)
    assert answer.get("status") == "queued", done
    return answer["task_uuid"]


def test_the_demo_saves_the_stems_of_its_song(stack):
    assert "Steven M. Bryant, CC BY 3.0" in stack.started
    callback = called_back(stack.started)
    assert callback["status"] == "success"
    for name, stem in callback["stems"].items():
        (path,) = re.findall(rf"^  {name} .* (/.*)$", stack.started, re.MULTILINE)
        content = Path(path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == stem["sha256"]
        assert soundfile.info(path).duration > 5
    vocals = requests.get(callback["vocals"], timeout=10).content
    assert len(vocals) == callback["stems"]["vocals"]["bytes"]


def test_the_line_that_is_printed_submits_a_song_that_is_separated(stack, tmp_path):
    (line,) = curls(stack.started)
    assert '-u "admin"' in line  # curl asks for a password that the user has set: it is not printed
    task = stack.wait_for_success(answered(stack, line, tmp_path))
    link = task["result"]["vocals"]
    assert requests.get(link, timeout=10).status_code == 200
    # The link is signed with keys that can only read.
    uploaders = json.loads((stack.root / ".local" / "data" / "store" / "keys.json").read_text())
    assert uploaders["access_key"] not in link


def test_the_first_line_of_the_readme_does_too(stack, tmp_path):
    line = documents.command("README.md", "/generate -d")
    assert "-u admin:password" in line
    (curl,) = re.findall(r"\$\((curl .*) \| grep .*\)", adapted(stack, line))
    stack.wait_for_success(answered(stack, curl, tmp_path))


def adapted(stack: Stack, text: str) -> str:
    """A document's commands or code with the ports, the password, the song and the model of this stack."""
    song = f"http://127.0.0.1:{stack.env['DEMO_PORT']}/audio_example.mp3"
    text = stack.ports_of(text).replace("https://example.com/song.mp3", song)
    text = text.replace("spleeter-2stems", stack.env["MODEL_NAME"])
    return text.replace('"admin", "password"', f'"admin", "{SECRETS["BASIC_AUTH_PASSWORD"]}"')


@pytest.mark.parametrize(
    "page", sorted({page for page, line in documented() if CLAIMS[line] == IN_THE_STACK})
)
def test_the_commands_of_a_document_work_as_they_are_written(stack, tmp_path, page):
    netrc = write_netrc(tmp_path)
    lines = [adapted(stack, line) for line in in_the_stack(page)]
    options = f"--fail-with-body --silent --show-error --netrc-file {netrc}"
    lines = [re.sub(r"\bcurl (?:-s )?(.*?)-u \S+", rf"curl {options} \1", line) for line in lines]
    lines = [
        line.replace("./start_local.sh", shlex.quote(str(stack.root / "start_local.sh"))) for line in lines
    ]
    # `cd` of one command is not meant for the next one
    lines = [f"({line})" if line.startswith("cd ") else line for line in lines]
    (tmp_path / "story.sh").write_text("\n".join(["set -euxo pipefail", *lines, ""]))
    (tmp_path / "client").symlink_to(stack.root / "client")
    (tmp_path / "song.mp3").write_bytes(
        requests.get(adapted(stack, "https://example.com/song.mp3"), timeout=30).content
    )
    done = subprocess.run(
        [str(stack.root / "start_local.sh"), "exec", "bash", "story.sh"],
        cwd=tmp_path,
        env=stack.env,
        input="a password\n",
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_a_task_is_cancelled_as_the_document_says(stack, tmp_path):
    song = f"http://127.0.0.1:{stack.env['DEMO_PORT']}/audio_example.mp3"
    submitted = stack.run_here(f"./start_local.sh exec uvr submit {' '.join([song] * 3)}", tmp_path)
    task = submitted.stdout.split()[-1]
    line = adapted(stack, documents.command("docs/api.md", "/cancel")).replace("$TASK", task)
    done = stack.run_here(
        re.sub(r"-u \S+", f"--fail-with-body --netrc-file {write_netrc(tmp_path)}", line), tmp_path
    )
    assert done.returncode == 0, done
    wait_for(lambda: stack.task(task)["state"] == "cancelled", 60, f"end of {task}")


@pytest.mark.parametrize("page", ["README.md", "docs/client.md"])
def test_the_documents_example_in_python_fetches_the_stems(stack, tmp_path, page):
    code = adapted(stack, documents.block(page, "from uvr_client import UvrClient"))
    (tmp_path / "example.py").write_text(code)
    done = stack.run_here("./start_local.sh exec python example.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "stems").iterdir()} == {"vocals.wav", "instrumental.wav"}


def test_nobody_else_can_read_what_the_stack_keeps(stack):
    store = stack.root / ".local" / "data" / "store"
    for directory in (".local", "logs", "models"):
        for path in (stack.root / directory, *(stack.root / directory).rglob("*")):
            # SeaweedFS makes new volumes at any time and ignores the umask: their directory keeps others out.
            keeper = path.parent if path.is_file() and store in path.parents else path
            try:
                assert path.is_symlink() or keeper.stat().st_mode & 0o077 == 0, path
            except FileNotFoundError:  # a file of a running server, removed since it was listed
                continue


def test_each_process_has_the_secrets_that_it_needs_alone(stack):
    found, store_keys = leftovers.find(stack.root), {}
    assert len(found) >= 8
    for process in found:
        try:
            command, environment = process.cmdline(), process.environ()
        except psutil.NoSuchProcess:
            continue
        service = command[-1] if command[-1] in ("api", "processor", "uploader") else ""
        held = {name for name, value in SECRETS.items() if value in environment.values()}
        assert held == NEEDED.get(service, set()), command
        # Each service has keys of its own to the store. The others, among them the processor's children,
        # have none.
        assert ("AWS_SECRET_ACCESS_KEY" in environment) == bool(service), command
        if service:
            store_keys.setdefault(service, set()).add(environment["AWS_SECRET_ACCESS_KEY"])
    assert [len(keys) for keys in store_keys.values()] == [1, 1, 1]
    assert len(set.union(*store_keys.values())) == 3


def test_both_processors_are_ready_and_have_partitions(stack):
    status = stack.run("status")
    assert status.returncode == 0, status.stdout
    rows = re.findall(
        r"^(processor\S*) +ready .* partitions (?!none)(uvr_tasks [\d -]+)", status.stdout, re.MULTILINE
    )
    assert [name for name, _ in rows] == ["processor", "processor-2"], status.stdout
    assert stack.run("logs", "processor-2").returncode == 0


def test_uvr_works_in_the_stacks_environment(stack, tmp_path):
    song = f"http://127.0.0.1:{stack.env['DEMO_PORT']}/audio_example.mp3"
    line = f"./start_local.sh exec uvr submit {song} --download stems"
    done = stack.run_here(line, tmp_path, UVR_URL="http://elsewhere.invalid")
    assert done.returncode == 0, done
    assert len(list((tmp_path / "stems").glob("*/*.wav"))) == 2  # in the directory of the call
    assert "succeeded" in stack.run_here("./start_local.sh exec uvr list", tmp_path).stdout


def test_a_command_asks_the_stacks_brokers_and_says_which(stack, tmp_path):
    done = stack.run_here("./start_local.sh exec python -m common.lag", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"asking Kafka at 127.0.0.1:{stack.env['KAFKA_PORT']}\n"
    piped = stack.run_here(
        "./start_local.sh exec python -m common.lag | head -n 1; exit ${PIPESTATUS[0]}", tmp_path
    )
    assert piped.returncode in (0, 141)
    assert piped.stderr == done.stderr


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("exec sh -c 'exit 7'", 7, ""),
        ("exec no-such-command", 127, "error: there is no command 'no-such-command'"),
        ("exec ./plain", 126, "error: cannot run './plain': Permission denied"),
        ("exec", 1, "error: exec needs a command"),
    ],
)
def test_exec_ends_as_its_command_does(stack, tmp_path, command, code, message):
    (tmp_path / "plain").write_text("no program\n")
    done = stack.run_here(f"./start_local.sh {command}", tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == (1 if message else 0)


def test_the_documents_line_for_one_more_processor_makes_one_that_loses_no_song(stack, tmp_path):
    line = documents.command("docs/production.md", "WORKER_ID=second")
    port = take_port()
    words = shlex.split(re.sub(r"HEALTH_PORT=\d+", f"HEALTH_PORT={port}", line))
    process = subprocess.Popen(
        [str(stack.root / "start_local.sh"), *words[1:]],
        cwd=tmp_path,
        env=stack.env,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: answers(port) and _ready(port), 120, "one more processor")
        log = tmp_path / "logs" / "second" / "processor.log"
        # An engine may be ready before the group has given it a share.
        wait_for(lambda: re.search(r"assign.* uvr_tasks \d", log.read_text()), 60, "its partitions")
        song = f"http://127.0.0.1:{stack.env['DEMO_PORT']}/audio_example.mp3"
        # Each song gets into one of its partitions with a chance of one in three.
        for _ in range(10):
            submitted = stack.run_here(f"./start_local.sh exec uvr submit {' '.join([song] * 4)}", tmp_path)
            for task_uuid in submitted.stdout.split():
                stack.wait_for_success(task_uuid)
            if "separated on cpu" in log.read_text():
                break
        else:
            pytest.fail("it has processed none of the songs")
    finally:
        process.terminate()
        process.wait(60)


def _ready(port: int) -> bool:
    return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200


def test_the_demos_host_gives_its_song_and_takes_its_callbacks_alone(stack):
    origin = f"http://127.0.0.1:{stack.env['DEMO_PORT']}"
    for path in ("/", "/callback", "/callbacks/x", "/../../etc/passwd", "/audio_example.mp3/"):
        assert requests.get(origin + path, timeout=10).status_code == 404
    for body in (b"", b"x", b"[]", b"{}", b'{"task_uuid": "../../x"}', b'{"task_uuid": 1}', b"[" * 100_000):
        assert requests.post(origin + "/callback", data=body, timeout=10).status_code == 400
    assert requests.post(origin + "/elsewhere", data=b"{}", timeout=10).status_code == 404
    assert requests.head(origin + "/audio_example.mp3", timeout=10).status_code == 200


def test_another_start_changes_nothing_and_says_so(stack):
    again = stack.run(API_PORT="1")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert "Settings have changed" in again.stdout
    status = stack.run("status")
    assert status.returncode == 0
    assert len(re.findall(r"^\S+ +ready", status.stdout, re.MULTILINE)) == 6


def test_everything_survives_stop_and_sigkill(stack):
    """Leaves the stack without its supervisor."""
    link = called_back(stack.started)["vocals"]
    vocals = requests.get(link, timeout=10).content
    stack.env["PROCESSORS"] = "1"

    stopped = stack.run("stop")
    assert stopped.returncode == 0
    assert leftovers.find(stack.root) == []
    assert stack.run("status").returncode == 1

    restarted = stack.run()
    assert restarted.returncode == 0, restarted.stdout
    assert requests.get(link, timeout=10).content == vocals

    for process in leftovers.find(stack.root):
        process.kill()
    # With the default model, which is prepared from nothing, as at a user's first start.
    after_kill = stack.run("demo", MODEL_NAME="spleeter-2stems")
    assert after_kill.returncode == 0, after_kill.stdout
    assert called_back(after_kill.stdout)["model"] == "spleeter-2stems"
    assert requests.get(link, timeout=10).content == vocals

    supervisor_pid = int((stack.root / ".local" / "run" / "supervisord.pid").read_text())
    os.kill(supervisor_pid, 9)
    orphaned = stack.run("status")
    assert orphaned.returncode == 1
    assert "The supervisor of UVR API is gone" in orphaned.stdout


def test_uninstall_stops_what_runs_and_removes_it(stack, tmp_path):
    """Must be the last test of this file. What runs has no supervisor, and `uninstall` ends it by `stop`."""
    refused = stack.run("uninstall")
    assert refused.returncode == 1
    assert "without a terminal to ask at, add --yes" in refused.stdout
    assert (stack.root / ".local").exists()
    done = stack.run("uninstall", "--yes")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^ +\d+\.\d [MG]B +\.local ", done.stdout, re.MULTILINE)
    assert leftovers.find(stack.root) == []
    for name in (".local", "logs", "models"):
        assert not (stack.root / name).exists()
    assert not list(stack.root.rglob("__pycache__"))
    assert os.path.exists(stack.env["UVR_VENV"])  # it belongs to another checkout
    assert stack.run("uninstall", "--yes").stdout == "There is nothing to remove.\n"
