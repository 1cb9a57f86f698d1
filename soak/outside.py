"""Plays the world outside: a host of songs and a receiver of callbacks, which fail as the plan says."""

import json
from collections import defaultdict
from dataclasses import dataclass

from soak import songs
from soak.plan import Hook, Job, Song
from tests.support.http_server import (
    Connection,
    Request,
    Script,
    ScriptedServer,
    dripped,
    head,
    in_turn,
    reset,
    serve,
    stall,
)

_SLOW_DOWNLOAD_S = 3.0


@dataclass(frozen=True)
class Callback:
    """One POST to a job's hook, accepted or not."""

    task_uuid: str
    webhook_id: str
    body: bytes


class Outside:
    """Serves each job's song at an address of its own, and receives its callbacks at another."""

    def __init__(self, jobs: tuple[Job, ...]):
        self._host, self._receiver = ScriptedServer(), ScriptedServer()
        self.audio_urls = {j.number: self._host.on(f"/{j.number}/song.wav", _song_script(j)) for j in jobs}
        self.hook_urls = {j.number: self._receiver.on(f"/{j.number}", _hook_script(j)) for j in jobs}

    @property
    def origins(self) -> str:
        return f"{self._host.origin},{self._receiver.origin}"

    @property
    def callback_count(self) -> int:
        return len(self._receiver.requests())

    def callbacks(self) -> dict[int, list[Callback]]:
        """Return the callbacks by job, in the order in which they came."""
        found = defaultdict(list)
        for request in self._receiver.requests():
            task_uuid = json.loads(request.body)["task_uuid"]
            callback = Callback(task_uuid, request.headers.get("webhook-id", ""), request.body)
            found[int(request.target.strip("/"))].append(callback)
        return dict(found)

    def close(self) -> None:
        self._host.close()
        self._receiver.close()


def _song_script(job: Job) -> Script:
    def whole(request: Request, connection: Connection) -> None:
        serve(songs.song(job))(request, connection)

    def slow(request: Request, connection: Connection) -> None:
        """Breaks off in the middle, and sends the rest to whoever asks for it."""
        song = songs.song(job)
        begin = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        fields = [("ETag", f'"{job.number}"'), ("Content-Length", str(len(song) - begin))]
        fields.append(("Content-Range", f"bytes {begin}-{len(song) - 1}/{len(song)}"))
        connection.send(head(206 if begin else 200, fields))
        dripped(song[begin : None if begin else len(song) // 2], _SLOW_DOWNLOAD_S / 2, connection)

    def cut(request: Request, connection: Connection) -> None:
        data = songs.song(job)
        serve(data[: len(data) // 2], declared_bytes=len(data))(request, connection)

    busy = [serve(b"busy", 503, headers=[("Retry-After", "3")]), serve(b"broken", 500)]
    match job.song:
        case Song.HEALTHY:
            return whole
        case Song.SLOW:
            return slow
        case Song.UNAVAILABLE_AT_FIRST:
            return in_turn(*busy[: job.song_failures], whole)
        case Song.CUT_AT_FIRST:
            return in_turn(*[cut] * job.song_failures, whole)
        case Song.MISSING:
            return serve(b"no such song", 404)
        case Song.UNAVAILABLE:
            return serve(b"closed", 503)
        case Song.DEAD:
            return reset()


def _hook_script(job: Job) -> Script:
    taken = serve(b"", 204)
    errors = [serve(b"", 500), serve(b"", 503, headers=[("Retry-After", "1")]), serve(b"", 502)]
    match job.hook:
        case Hook.HEALTHY:
            return taken
        case Hook.ERRORS_AT_FIRST:
            return in_turn(*errors[: job.hook_failures], taken)
        case Hook.SILENT_AT_FIRST:
            return in_turn(*[stall()] * job.hook_failures, taken)
        case Hook.RESETS_AT_FIRST:
            return in_turn(*[reset()] * job.hook_failures, taken)
        case Hook.DEAD:
            return serve(b"", 500)
        case Hook.GONE:
            return serve(b"", 410)
