"""Plays the users: submits songs and batches at their times, and repeats with the same Idempotency-Key."""

import threading
import time
import urllib.error

from soak.asking import AWAY, TOO_MANY, Asking
from soak.batch_sender import BatchSender
from soak.outside import Outside
from soak.plan import Batch, Job, Plan, RefusedBatch
from soak.song_sender import SongSender

_USERS = 12
_BETWEEN_DELETIONS_S = 2.0
_STILL_RUNS = 409


class Users:
    """Submits all from threads of its own, and deletes those songs that are to be deleted once they are over.

    `task_uuids` has each job's id once the api has answered, and `sent_at_s` when each job was first sent, in
    seconds since the epoch.
    """

    def __init__(self, asking: Asking, plan: Plan, outside: Outside):
        self._asking, self._jobs = asking, plan.jobs
        self._songs = SongSender(asking, plan.jobs, outside.audio_urls, outside.hook_urls)
        self.batches = BatchSender(asking, plan, self._songs, outside.batch_hook_urls, outside.refused_urls)
        # Guards the lists and `_submitting`.
        self._lock = threading.Lock()
        single = [job for job in plan.jobs if job.batch is None]
        parts: list[Job | Batch | RefusedBatch] = [*single, *plan.batches, *plan.refused]
        self._waiting = sorted(parts, key=lambda part: part.at_s, reverse=True)
        self._to_delete: list[Job] = []
        self._submitting = _USERS
        self._threads = [threading.Thread(target=self._submit_all, daemon=True) for _ in range(_USERS)]
        self._threads.append(threading.Thread(target=self._delete_ended, daemon=True))
        self._began_s = 0.0
        self.task_uuids: dict[int, str] = {}
        self.sent_at_s: dict[int, float] = {}

    def start(self) -> None:
        self._began_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        self._asking.stopping.set()

    def _submit_all(self) -> None:
        while (part := self._next()) is not None:
            self._asking.stopping.wait(max(0.0, self._began_s + part.at_s - time.monotonic()))
            match part:
                case Job():
                    self.sent_at_s[part.number] = time.time()
                    self._note(part, self._songs.submit(part))
                case Batch():
                    self._submit_batch(part)
                case RefusedBatch():
                    self.batches.be_refused(part)
        with self._lock:
            self._submitting -= 1

    def _next(self) -> Job | Batch | RefusedBatch | None:
        with self._lock:
            return self._waiting.pop() if self._waiting and not self._asking.stopping.is_set() else None

    def _submit_batch(self, batch: Batch) -> None:
        self.sent_at_s |= dict.fromkeys(batch.jobs, time.time())
        taken = self.batches.submit(batch)
        if taken is None:
            return
        for number, task_uuid in zip(batch.jobs, taken.task_uuids, strict=True):
            self._note(self._jobs[number], task_uuid)
        if batch.cancelled_after_s is not None:
            self._asking.stopping.wait(batch.cancelled_after_s)
            self.batches.cancel(batch, taken)

    def _note(self, job: Job, task_uuid: str | None) -> None:
        if task_uuid is None:
            return
        self.task_uuids[job.number] = task_uuid
        if job.is_deleted:
            with self._lock:
                self._to_delete.append(job)

    def _delete_ended(self) -> None:
        """Ask for each deletion until the task is over, so that the api takes it."""
        while not self._asking.stopping.is_set():
            with self._lock:
                jobs, is_last = list(self._to_delete), not self._submitting
            if is_last and not jobs:
                return
            for job in jobs:
                if self._is_deletion_taken(job):
                    self._to_delete.remove(job)
            self._asking.stopping.wait(_BETWEEN_DELETIONS_S)

    def _is_deletion_taken(self, job: Job) -> bool:
        path, headers = f"/tasks/{self.task_uuids[job.number]}", self._asking.header(job.user, job.number)
        try:
            self._asking.send("DELETE", path, headers)
        except urllib.error.HTTPError as error:
            return self._asking.is_refusal(f"deletion of job {job.number}", error, _STILL_RUNS, TOO_MANY)
        except AWAY:
            return False
        return True
