"""Plays the world outside: a host of songs and a receiver of callbacks, which fail as the plan says."""

import json
from collections import defaultdict
from dataclasses import dataclass

from soak import signing, songs
from soak.plan import Hook, Job, Plan, Song
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
_BATCHES, _REFUSED = "/batch/", "/refused/"


@dataclass(frozen=True)
class Callback:
    """One POST to a hook of a job or of a batch, accepted or not.

    `about` is the id of the task or the batch. `place` counts all POSTs, in the order in which they came.
    `at_s` is in seconds since the epoch.
    """

    about: str
    webhook_id: str
    body: bytes
    is_signed: bool = True
    place: int = 0
    at_s: float = 0.0


class Outside:
    """Serves each job's song at an address of its own, and receives its callbacks at another.

    Nobody may ask for the songs of batches that are refused: `refused_urls`, by the batch's number.
    """

    def __init__(self, plan: Plan):
        self._host, self._receiver = ScriptedServer(), ScriptedServer()
        jobs = plan.jobs
        self.audio_urls = {j.number: self._host.on(f"/{j.number}/song.wav", _song_script(j)) for j in jobs}
        self.hook_urls = {
            j.number: self._receiver.on(f"/{j.number}", _hook_script(j.hook, j.hook_failures)) for j in jobs
        }
        self.batch_hook_urls = {
            b.number: self._receiver.on(f"{_BATCHES}{b.number}", _hook_script(b.hook, b.hook_failures))
            for b in plan.batches
            if b.hook is not None
        }
        self.refused_urls = {
            r.number: [f"{self._host.origin}{_REFUSED}{r.number}/{n}.wav" for n in range(r.count)]
            for r in plan.refused
        }

    @property
    def origins(self) -> str:
        return f"{self._host.origin},{self._receiver.origin}"

    @property
    def callback_count(self) -> int:
        return len(self._receiver.requests())

    def callbacks(self) -> dict[int, list[Callback]]:
        """Return the jobs' callbacks by job, in the order in which they came."""
        return self._callbacks("/")

    def batch_callbacks(self) -> dict[int, list[Callback]]:
        """Return the batches' callbacks by batch, in the order in which they came."""
        return self._callbacks(_BATCHES)

    def refused_requests(self) -> list[str]:
        """Return the paths of all requests for songs of batches that were refused."""
        return [r.target for r in self._host.requests() if r.target.startswith(_REFUSED)]

    def _callbacks(self, path: str) -> dict[int, list[Callback]]:
        """Return the callbacks of all hooks whose addresses are `path` and a number."""
        found = defaultdict(list)
        for place, request in enumerate(self._receiver.requests()):
            number = request.target.removeprefix(path)
            if not number.isdecimal():
                continue
            told = json.loads(request.body)
            about = told.get("task_uuid") or told["batch_uuid"]
            webhook_id, is_signed = request.headers.get("webhook-id", ""), signing.is_signed(request)
            call = Callback(about, webhook_id, request.body, is_signed, place, request.at_s)
            found[int(number)].append(call)
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


def _hook_script(hook: Hook, failures: int) -> Script:
    taken = serve(b"", 204)
    errors = [serve(b"", 500), serve(b"", 503, headers=[("Retry-After", "1")]), serve(b"", 502)]
    match hook:
        case Hook.HEALTHY:
            return taken
        case Hook.ERRORS_AT_FIRST:
            return in_turn(*errors[:failures], taken)
        case Hook.SILENT_AT_FIRST:
            return in_turn(*[stall()] * failures, taken)
        case Hook.RESETS_AT_FIRST:
            return in_turn(*[reset()] * failures, taken)
        case Hook.DEAD:
            return serve(b"", 500)
        case Hook.GONE:
            return serve(b"", 410)
