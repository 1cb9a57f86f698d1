"""Plays the users: submits each song at its time, and after an error again with the same Idempotency-Key."""

import base64
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable

from soak import choices
from soak.plan import Job

_USERS = 12
_TIMEOUT_S = 12.0
_PAUSE_S = 0.5
_CREDENTIALS = base64.b64encode(b"admin:password").decode()


class Users:
    """Submits songs from threads of its own. `task_uuids` has each job's id once the api has answered."""

    def __init__(self, api_url: str, jobs: Iterable[Job], audio_urls: dict[int, str], hooks: dict[int, str]):
        self._url = f"{api_url}/generate"
        self._waiting = list(reversed(list(jobs)))
        self._audio_urls, self._hooks = audio_urls, hooks
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_USERS)]
        self._began_s = 0.0
        self.task_uuids: dict[int, str] = {}
        self.repeats = 0
        self.refusals: list[str] = []

    def start(self) -> None:
        self._began_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                if not self._waiting:
                    return
                job = self._waiting.pop()
            self._stopping.wait(max(0.0, self._began_s + job.at_s - time.monotonic()))
            self._submit(job)

    def _submit(self, job: Job) -> None:
        addresses = {"audio": self._audio_urls[job.number], "hook_url": self._hooks[job.number]}
        body = {**addresses, **choices.submission(job)}
        headers = {"Authorization": f"Basic {_CREDENTIALS}", "Idempotency-Key": f"soak-{job.number}"}
        while not self._stopping.is_set():
            request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
            if self._is_answered(job, request):
                return
            with self._lock:
                self.repeats += 1
            self._stopping.wait(_PAUSE_S)

    def _is_answered(self, job: Job, request: urllib.request.Request) -> bool:
        """Send the request; return False where it must be repeated."""
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                self.task_uuids[job.number] = json.load(answer)["task_uuid"]
                return True
        except urllib.error.HTTPError as error:
            with error:
                if error.code >= 500:
                    return False
                self.refusals.append(f"job {job.number}: {error.code} {error.read()[:200]!r}")
                return True
        except (OSError, ValueError, http.client.HTTPException):
            return False  # the api is killed, frozen or not there
