"""Starts the local stack in order and stops it again."""

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from local import credentials, demo_host, leftovers, ports, preparing, program_environment, store
from local.config import DEMO_HOST, LocalConfig
from local.errors import LocalError
from local.private_files import make_private
from local.supervision import Supervisor, make_log_dir, socket_path, start_daemon
from local.watch import StartWaiter

_FALLBACK_MODEL = "spleeter-2stems"
_MIN_FREE_BYTES = 1_000_000_000
_SERVER_TIMEOUT_S = 90
_SERVICE_TIMEOUT_S = 300


def up(config: LocalConfig) -> LocalConfig:
    """Starts the programs that do not run, and waits until all are ready.

    Returns the running stack's configuration. Raises LocalError after stopping what it has started.
    """
    make_private(config.directory)
    with _alone(config):
        supervisor = Supervisor(config)
        if supervisor.is_running():
            config = _start_missing(config, supervisor)
        else:
            _start(config, supervisor)
            say("UVR API is ready.")
        # SeaweedFS ignores the umask and makes some of its files readable for everyone.
        make_private(config.directory / "data")
    print_how_to_use(config)
    return config


def stop(config: LocalConfig) -> None:
    """Stops every program of the stack, also those that a killed supervisor has left."""
    with _alone(config):
        supervisor = Supervisor(config)
        if not supervisor.is_running() and not leftovers.find(config.root):
            _remove_run_files(config.running())
            say("UVR API is not running.")
            return
        _stop(config.running(), supervisor)
        say("UVR API has stopped.")


def say(line: str) -> None:
    """Prints a line at once."""
    try:
        print(line, flush=True)
    except BrokenPipeError:  # the reader has gone (`| head`), but the start goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_how_to_use(config: LocalConfig) -> None:
    """Prints a command that submits a song, and the commands of start_local.sh."""
    origin = config.demo_origin if config.has_demo else "https://example.com"
    task = {"audio": f"{origin}{demo_host.SONG_PATH}", "hook_url": f"{origin}{demo_host.CALLBACK_PATH}"}
    say(
        f"""
The console, a page for people: {config.api_url}/

Submit a song:

  curl -u {_quoted(credentials.for_curl(config))} {config.api_url}/generate \\
    -H 'Content-Type: application/json' \\
    -d '{json.dumps(task)}'

Submit one and save its stems: ./start_local.sh exec uvr submit URL --download stems
List the tasks: ./start_local.sh exec uvr list
Other commands: ./start_local.sh demo | status | logs | stop"""
    )


def _quoted(word: str) -> str:
    return f'"{word}"' if re.fullmatch(r"[\w.:@+-]+", word) else shlex.quote(word)


def fetch_model(config: LocalConfig) -> str:
    """Fetches the configured model, or the fallback if that fails. Returns the model's name.

    Raises LocalError when the fallback fails too.
    """
    wanted = config.given.get("MODEL_NAME", "UVR-MDX-NET-Inst_HQ_4")
    if _fetch(config, wanted):
        return wanted
    if wanted == _FALLBACK_MODEL or not _fetch(config, _FALLBACK_MODEL):
        raise LocalError(f"the model {_FALLBACK_MODEL} cannot be prepared: see above")
    bar = "!" * 78
    say(
        f"\n{bar}\n"
        f"! WARNING: the model {wanted} could not be fetched (see above).\n"
        f"! Using {_FALLBACK_MODEL} instead: ANOTHER MODEL, with lower quality.\n"
        f"! To use {wanted}: restore the network access, then run\n"
        "! ./start_local.sh stop and ./start_local.sh.\n"
        f"{bar}\n"
    )
    return _FALLBACK_MODEL


def _fetch_more_models(config: LocalConfig) -> None:
    """Fetches the models of MODELS. Raises LocalError where one cannot be fetched."""
    for name in filter(None, map(str.strip, config.given.get("MODELS", "").split(","))):
        if not _fetch(config, name):
            raise LocalError(
                f"the model {name} of MODELS cannot be prepared (see above): take it out of MODELS"
            )


def _fetch(config: LocalConfig, name: str) -> bool:
    say(f"checking the model {name} (downloaded if it is missing)")
    command = [sys.executable, "-m", "processor", "models", "fetch", name]
    environment = program_environment.of_program(config, "processor", config.environment(name))
    return subprocess.run(command, cwd=config.root, env=environment).returncode == 0


@contextlib.contextmanager
def _alone(config: LocalConfig) -> Iterator[None]:
    config.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (config.run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another ./start_local.sh is running for this checkout; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(config: LocalConfig, supervisor: Supervisor) -> None:
    make_log_dir(config)
    _end_leftovers(config)
    _check_ports(config)
    for each in (config, config.running()):  # with another S3_PORT the last start's sockets have other names
        _remove_run_files(each)
    _check_disk(config.root)
    preparing.link_commands(config)
    if not config.runs_store:
        preparing.check_given_store(config)
    if config.runs_kafka:
        preparing.prepare_broker(config, say)
    model = fetch_model(config)
    _fetch_more_models(config)
    config.save()
    try:
        start_daemon(config, config.environment(model))
        supervisor.wait_running(20)
        _start_all(config, supervisor)
    except BaseException:  # an interrupt too: what was started must not outlive a failed start
        say("the start did not succeed; stopping what was started")
        _stop(config, supervisor)
        raise


def _start_missing(config: LocalConfig, supervisor: Supervisor) -> LocalConfig:
    running = config.running()
    if running.settings() != config.settings():
        say("Settings have changed since the start. To apply them: ./start_local.sh stop; ./start_local.sh")
    _start_all(running, supervisor)
    say("UVR API is already running.")
    return running


def _start_all(config: LocalConfig, supervisor: Supervisor) -> None:
    waiter = StartWaiter(config, supervisor, say)
    servers = [name for name in config.supervised if name not in config.services]
    for name in servers:
        supervisor.start(name)
    if config.runs_kafka:
        waiter.wait("kafka", lambda: ports.answers(config.ports["KAFKA_PORT"]), _SERVER_TIMEOUT_S)
    if config.runs_store:
        waiter.wait_store(_SERVER_TIMEOUT_S)
    if config.has_demo:
        waiter.wait(DEMO_HOST, lambda: ports.answers(config.ports["DEMO_PORT"]), _SERVER_TIMEOUT_S)
    for name in config.services:
        supervisor.start(name)
    for name in config.services:
        waiter.wait_service(name, _SERVICE_TIMEOUT_S)


def _stop(config: LocalConfig, supervisor: Supervisor) -> None:
    if supervisor.is_running():
        running = [name for name, program in supervisor.programs().items() if program.pid]
        for name in reversed([name for name in config.supervised if name in running]):
            say(f"stopping {name}")
            supervisor.stop(name)
        supervisor.shut_down()
        _wait_gone(supervisor)
    # A killed supervisor leaves processes, and so do settings that have changed since the start.
    leftovers.end(config.root, grace_s=10)
    _remove_run_files(config)


def _wait_gone(supervisor: Supervisor) -> None:
    deadline = time.monotonic() + 20
    while supervisor.is_running() and time.monotonic() < deadline:
        time.sleep(0.05)


def _end_leftovers(config: LocalConfig) -> None:
    """Ends the processes that a killed supervisor has left."""
    found = leftovers.find(config.root)
    if found:
        say(f"ending processes of an earlier start: {', '.join(map(leftovers.describe, found))}")
        leftovers.end(config.root, grace_s=10)


def _remove_run_files(config: LocalConfig) -> None:
    socket_path(config).unlink(missing_ok=True)
    (config.run_dir / "supervisord.pid").unlink(missing_ok=True)
    if config.runs_store:
        store.remove_sockets(config.store_dir, config.ports["S3_PORT"])


def _check_ports(config: LocalConfig) -> None:
    taken = [(name, port) for name, port in config.used_ports().items() if not ports.is_free(port)]
    if taken:
        raise LocalError("; ".join(_port_taken(name, port) for name, port in taken))
    for path in store.sockets_of_others(config.ports["S3_PORT"]) if config.runs_store else ():
        raise LocalError(
            f"{path} belongs to another user and keeps the store from its port: "
            "remove the file, or set S3_PORT to another port"
        )


def _port_taken(name: str, port: int) -> str:
    setting = name.partition(" ")[0]  # `PROCESSOR_HEALTH_PORT + 10` follows PROCESSOR_HEALTH_PORT
    return f"port {port} is in use ({name}): stop the program that uses it, or set {setting} to another port"


def _check_disk(root: Path) -> None:
    free_bytes = shutil.disk_usage(root).free
    if free_bytes < _MIN_FREE_BYTES:
        raise LocalError(
            f"the disk is too full: {_MIN_FREE_BYTES / 1e9:.0f} GB must be free, "
            f"{free_bytes / 1e9:.1f} GB are free at {root}"
        )
