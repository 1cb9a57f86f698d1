"""Plays the users: submits each song at its time, and after an error again with the same Idempotency-Key."""

import base64
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from soak import choices, songs, uploading
from soak.plan import Job, Way

_T = TypeVar("_T")

_USERS = 12
_TIMEOUT_S = 12.0
_PAUSE_S = 0.5
_BETWEEN_DELETIONS_S = 2.0
_CREDENTIALS = base64.b64encode(b"admin:password").decode()
_SIGNED_IN = {"Authorization": f"Basic {_CREDENTIALS}"}
_TOO_MANY, _STILL_RUNS = 429, 409


class Users:
    """Submits songs from threads of its own, and deletes those that are to be deleted once they are over.

    `task_uuids` has each job's id once the api has answered.
    """

    def __init__(self, api_url: str, jobs: Iterable[Job], audio_urls: dict[int, str], hooks: dict[int, str]):
        self._url, self._audio_urls, self._hooks = api_url, audio_urls, hooks
        self._stopping = threading.Event()
        # Guards the lists, `_submitting` and `repeats`.
        self._lock = threading.Lock()
        self._waiting = list(reversed(list(jobs)))
        self._to_delete: list[Job] = []
        self._submitting = _USERS
        self._threads = [threading.Thread(target=self._submit_all, daemon=True) for _ in range(_USERS)]
        self._threads.append(threading.Thread(target=self._delete_ended, daemon=True))
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

    def _submit_all(self) -> None:
        while (job := self._next()) is not None:
            self._stopping.wait(max(0.0, self._began_s + job.at_s - time.monotonic()))
            self._submit(job)
        with self._lock:
            self._submitting -= 1

    def _next(self) -> Job | None:
        with self._lock:
            return self._waiting.pop() if self._waiting and not self._stopping.is_set() else None

    def _submit(self, job: Job) -> None:
        song = b"" if job.way is Way.LINK else songs.song(job)
        audio = self._until_answered(job, partial(self._audio, job, song))
        if audio is None:
            return
        task_uuid = self._until_answered(job, partial(self._post, job, audio, song))
        if task_uuid is None:
            return
        self.task_uuids[job.number] = task_uuid
        if job.is_deleted:
            with self._lock:
                self._to_delete.append(job)

    def _audio(self, job: Job, song: bytes) -> str:
        """Return what names the song in the submission; nothing for a form, which has the song itself."""
        match job.way:
            case Way.LINK:
                return self._audio_urls[job.number]
            case Way.TWO_STEPS:
                return uploading.upload(self._url, _SIGNED_IN, song, _TIMEOUT_S)
            case Way.BROKEN_FORM:
                body, content_type = uploading.form_of(song, self._fields(job))
                headers = {**_SIGNED_IN, "Content-Type": content_type}
                uploading.break_off(f"{self._url}/generate", headers, body, _TIMEOUT_S)
        return ""

    def _post(self, job: Job, audio: str, song: bytes) -> str:
        """Submit the job and return its task's id."""
        headers = {**_SIGNED_IN, "Idempotency-Key": f"soak-{job.number}"}
        if audio:
            body = json.dumps({"audio": audio, **self._fields(job)}).encode()
        else:
            body, headers["Content-Type"] = uploading.form_of(song, self._fields(job))
        request = urllib.request.Request(f"{self._url}/generate", body, headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return str(json.load(answer)["task_uuid"])

    def _fields(self, job: Job) -> dict[str, object]:
        return {"hook_url": self._hooks[job.number], **choices.submission(job)}

    def _until_answered(self, job: Job, call: Callable[[], _T]) -> _T | None:
        """Return what `call` returns, after as many calls as it takes.

        Return None if the api refuses, which is noted, or the soak ends.
        """
        while not self._stopping.is_set():
            try:
                return call()
            except urllib.error.HTTPError as error:
                if self._is_refusal(f"job {job.number}", error, _TOO_MANY):
                    return None
            except (OSError, ValueError, http.client.HTTPException):
                pass  # the api or the store is killed, frozen or not there
            with self._lock:
                self.repeats += 1
            self._stopping.wait(_PAUSE_S)
        return None

    def _delete_ended(self) -> None:
        """Ask for each deletion until the task is over, so that the api takes it."""
        while not self._stopping.is_set():
            with self._lock:
                jobs, is_last = list(self._to_delete), not self._submitting
            if is_last and not jobs:
                return
            for job in jobs:
                if self._is_deletion_taken(job):
                    self._to_delete.remove(job)
            self._stopping.wait(_BETWEEN_DELETIONS_S)

    def _is_deletion_taken(self, job: Job) -> bool:
        url = f"{self._url}/tasks/{self.task_uuids[job.number]}"
        request = urllib.request.Request(url, headers=_SIGNED_IN, method="DELETE")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
                return True
        except urllib.error.HTTPError as error:
            return self._is_refusal(f"deletion of job {job.number}", error, _STILL_RUNS, _TOO_MANY)
        except (OSError, http.client.HTTPException):
            return False

    def _is_refusal(self, what: str, error: urllib.error.HTTPError, *not_now: int) -> bool:
        """Tell whether to give up, and note it then. The codes `not_now`, and those from 500 on, may pass."""
        with error:
            is_refusal = error.code < 500 and error.code not in not_now
            if is_refusal:
                self.refusals.append(f"{what}: {error.code} {error.read()[:200]!r}")
            return is_refusal
