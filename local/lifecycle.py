"""Up and down: what starts after what, and what is said when something doesn't."""

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
from local.supervision import Supervisor, socket_path, start_daemon
from local.watch import Watch

_FALLBACK_MODEL = "spleeter-2stems"
_MIN_FREE_BYTES = 1_000_000_000
_SERVER_TIMEOUT_S = 90
_SERVICE_TIMEOUT_S = 300


def up(config: LocalConfig) -> LocalConfig:
    """Starts what does not run and waits until all is ready. Returns the running stack's configuration.

    Raises LocalError; what it has started is stopped again then.
    """
    make_private(config.directory)
    with _alone(config):
        supervisor = Supervisor(config)
        if supervisor.is_running():
            config = _already_running(config, supervisor)
        else:
            _start(config, supervisor)
            say("UVR API is ready.")
        # SeaweedFS makes some of its files readable for all, whatever the umask is.
        make_private(config.directory / "data")
    print_how_to_use(config)
    return config


def stop(config: LocalConfig) -> None:
    with _alone(config):
        supervisor = Supervisor(config)
        if not supervisor.is_running() and not leftovers.find(config.root):
            say("UVR API is not running.")
            return
        _stop(config.running(), supervisor)
        say("UVR API has stopped.")


def say(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:  # `| head`: nobody reads on, which is no reason to undo a start
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_how_to_use(config: LocalConfig) -> None:
    origin = config.demo_origin if config.has_demo else "https://example.com"
    task = {"audio": f"{origin}{demo_host.SONG_PATH}", "hook_url": f"{origin}{demo_host.CALLBACK_PATH}"}
    say(
        f"""
  curl -u {_quoted(credentials.for_curl(config))} {config.api_url}/generate \\
    -H 'Content-Type: application/json' \\
    -d '{json.dumps(task)}'

  ./start_local.sh demo | status | logs | exec uvr list | stop"""
    )


def _quoted(word: str) -> str:
    return f'"{word}"' if re.fullmatch(r"[\w.:@+-]+", word) else shlex.quote(word)


def fetch_model(config: LocalConfig) -> str:
    """The name of the model to use: the configured one, or the fallback if it can't be had."""
    wanted = config.given.get("MODEL_NAME", "UVR-MDX-NET-Inst_HQ_4")
    if _fetch(config, wanted):
        return wanted
    if wanted == _FALLBACK_MODEL or not _fetch(config, _FALLBACK_MODEL):
        raise LocalError(f"the model {_FALLBACK_MODEL} cannot be made ready: see above")
    bar = "!" * 78
    say(
        f"\n{bar}\n"
        f"! WARNING: the model {wanted} could not be fetched (see above).\n"
        f"! Using {_FALLBACK_MODEL} instead: ANOTHER MODEL, with lower quality.\n"
        f"! Only this local start does so. For {wanted}: mend the network, stop, start.\n"
        f"{bar}\n"
    )
    return _FALLBACK_MODEL


def _fetch(config: LocalConfig, name: str) -> bool:
    say(f"model {name}: checking, fetching if it is missing")
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
            say("another ./start_local.sh is at work here; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(config: LocalConfig, supervisor: Supervisor) -> None:
    _clean_up(config)
    _check_ports(config)
    _check_disk(config.root)
    preparing.link_commands(config)
    if not config.runs_store:
        preparing.check_given_store(config)
    if config.runs_kafka:
        preparing.prepare_broker(config, say)
    model = fetch_model(config)
    config.save()
    try:
        start_daemon(config, config.environment(model))
        supervisor.wait_running(20)
        _start_all(config, supervisor)
    except BaseException:  # an interrupt too: a later start takes the settings afresh
        say("stopping what was started")
        _stop(config, supervisor)
        raise


def _already_running(config: LocalConfig, supervisor: Supervisor) -> LocalConfig:
    running = config.running()
    if running.settings() != config.settings():
        say("Settings have changed since the start: ./start_local.sh stop, then start, for them to count.")
    _start_all(running, supervisor)
    say("UVR API is running already.")
    return running


def _start_all(config: LocalConfig, supervisor: Supervisor) -> None:
    watch = Watch(config, supervisor, say)
    servers = [name for name in config.supervised if name not in config.services]
    for name in servers:
        supervisor.start(name)
    if config.runs_kafka:
        watch.wait("kafka", lambda: ports.answers(config.ports["KAFKA_PORT"]), _SERVER_TIMEOUT_S)
    if config.runs_store:
        watch.wait("store", lambda: _store_is_ready(config), _SERVER_TIMEOUT_S)
    if config.has_demo:
        watch.wait(DEMO_HOST, lambda: ports.answers(config.ports["DEMO_PORT"]), _SERVER_TIMEOUT_S)
    for name in config.services:
        supervisor.start(name)
    for name in config.services:
        watch.wait_service(name, _SERVICE_TIMEOUT_S)


def _store_is_ready(config: LocalConfig) -> bool:
    return store.is_ready(config.store_dir, config.ports["S3_PORT"], config.bucket)


def _stop(config: LocalConfig, supervisor: Supervisor) -> None:
    if supervisor.is_running():
        running = [name for name, program in supervisor.programs().items() if program.pid]
        for name in reversed([name for name in config.supervised if name in running]):
            say(f"stopping {name}")
            supervisor.stop(name)
        supervisor.shut_down()
        _wait_gone(supervisor)
    # what a killed supervisor has left, or settings that have changed since
    leftovers.end(config.root, grace_s=10)
    _remove_run_files(config)


def _wait_gone(supervisor: Supervisor) -> None:
    deadline = time.monotonic() + 20
    while supervisor.is_running() and time.monotonic() < deadline:
        time.sleep(0.05)


def _clean_up(config: LocalConfig) -> None:
    """Ends what a supervisor that was killed has left behind."""
    found = leftovers.find(config.root)
    if found:
        say(f"ending what an earlier start has left: {', '.join(map(leftovers.describe, found))}")
        leftovers.end(config.root, grace_s=10)
    _remove_run_files(config)


def _remove_run_files(config: LocalConfig) -> None:
    socket = socket_path(config)
    socket.unlink(missing_ok=True)
    if socket.parent != config.run_dir:  # made below the temporary directory, for this socket alone
        with contextlib.suppress(OSError):
            socket.parent.rmdir()
    (config.run_dir / "supervisord.pid").unlink(missing_ok=True)
    if config.runs_store:
        store.remove_sockets(config.store_dir, config.ports["S3_PORT"])


def _check_ports(config: LocalConfig) -> None:
    taken = [(name, port) for name, port in config.used_ports().items() if not ports.is_free(port)]
    if taken:
        raise LocalError("; ".join(port_taken(name, port) for name, port in taken))


def port_taken(name: str, port: int) -> str:
    return f"port {port} is in use ({name}): stop what uses it or set {name}=..."


def _check_disk(root: Path) -> None:
    free_bytes = shutil.disk_usage(root).free
    if free_bytes < _MIN_FREE_BYTES:
        raise LocalError(
            f"the disk is too full: {_MIN_FREE_BYTES / 1e9:.0f} GB are needed, "
            f"{free_bytes / 1e9:.1f} GB are free at {root}"
        )
