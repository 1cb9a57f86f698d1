"""Submits batches as their users do, some of whom hang up before the answer, and cancels some of them."""

import http.client
import json
import urllib.error
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from soak import song_sender, uploading
from soak.asking import TIMEOUT_S, Asking
from soak.plan import Batch, Job, Plan, RefusedBatch, Wrong
from soak.song_sender import SongSender

_REFUSALS = {Wrong.ITEM: 400, Wrong.CEILING: 403}
_ENDED = 409


@dataclass(frozen=True)
class TakenBatch:
    """The api's answer: the batch's id and those of its tasks, in its order."""

    batch_uuid: str
    task_uuids: tuple[str, ...]


class BatchSender:
    """`taken` has each batch that the api has taken, and `answers` its answer to each that it must refuse.

    `mismatches` tells of each batch whose repeated submission got another answer. Thread-safe, as long as
    no batch is submitted twice.
    """

    def __init__(
        self,
        asking: Asking,
        plan: Plan,
        songs: SongSender,
        hook_urls: Mapping[int, str],
        refused_urls: Mapping[int, Sequence[str]],
    ):
        """`refused_urls` has the songs' addresses of each batch that is to be refused."""
        self._asking, self._jobs, self._songs = asking, plan.jobs, songs
        self._hook_urls, self._refused_urls = hook_urls, refused_urls
        self._keys = song_sender.keys(plan.batches)
        self.taken: dict[int, TakenBatch] = {}
        self.answers: dict[int, tuple[int, dict[str, Any]]] = {}
        self.mismatches: list[str] = []

    def submit(self, batch: Batch) -> TakenBatch | None:
        """Return what the api has made of the batch, or None as `Asking.until_answered` does."""
        body = self._body(batch)
        if body is None:
            return None
        name, headers = f"batch {batch.number}", self._headers(batch, self._keys[batch.number])
        post = partial(self._post, headers, body)
        if batch.is_answer_lost:
            with suppress(OSError, http.client.HTTPException):  # it may not even arrive
                url = f"{self._asking.url}/batches"
                uploading.break_off(url, headers, body, TIMEOUT_S, sent_bytes=len(body))
        taken = self._asking.until_answered(name, post)
        if taken is None:
            return None
        if batch.is_answer_lost:
            again = self._asking.until_answered(name, post)
            if again not in (taken, None):
                self.mismatches.append(f"{name} was {taken}, and asked again {again}")
        self.taken[batch.number] = taken
        return taken

    def cancel(self, batch: Batch, taken: TakenBatch) -> None:
        """Cancel the batch. All its songs may have ended before."""
        path, headers = f"/batches/{taken.batch_uuid}/cancel", self._asking.header(batch.user)

        def call() -> bool:
            try:
                self._asking.send("POST", path, headers)
            except urllib.error.HTTPError as error:
                if error.code != _ENDED:
                    raise
                error.close()
            return True

        self._asking.until_answered(f"cancel of batch {batch.number}", call)

    def be_refused(self, refused: RefusedBatch) -> None:
        """Submit a batch that the api must refuse, and keep its answer."""
        items: list[dict[str, Any]] = [{"audio": url} for url in self._refused_urls[refused.number]]
        items[refused.wrong_item]["priority"] = 9 if refused.why is Wrong.ITEM else 5
        body = json.dumps({"items": items}).encode()
        headers = self._headers(refused, refused_key(refused))

        def call() -> tuple[int, dict[str, Any]]:
            try:
                return 200, self._asking.send("POST", "/batches", headers, body)
            except urllib.error.HTTPError as error:
                if error.code != _REFUSALS[refused.why]:
                    raise
                with error:
                    return error.code, json.load(error)

        answer = self._asking.until_answered(f"refused batch {refused.number}", call)
        if answer is not None:
            self.answers[refused.number] = answer

    def _body(self, batch: Batch) -> bytes | None:
        """Return the batch's submission, once its songs are where they can be named."""
        jobs = [self._jobs[number] for number in batch.jobs]
        audios = [self._songs.audio(job) for job in jobs]
        # What an item does not say comes from the batch; what it says counts.
        defaults = {"priority": jobs[0].priority, "label": "nobody's"}
        items = [
            {"audio": audio, **self._item(job, defaults["priority"])}
            for job, audio in zip(jobs, audios, strict=True)
        ]
        fields: dict[str, Any] = {"items": items, "defaults": defaults, "metadata": {"batch": batch.number}}
        if batch.hook is not None:
            fields["hook_url"] = self._hook_urls[batch.number]
        return None if None in audios else json.dumps(fields).encode()

    def _item(self, job: Job, default_priority: object) -> dict[str, Any]:
        fields = self._songs.fields(job)
        if fields["priority"] == default_priority:
            del fields["priority"]
        return fields

    def _headers(self, batch: Batch | RefusedBatch, key: str) -> dict[str, str]:
        return self._asking.header(batch.user, batch.number) | {"Idempotency-Key": key}

    def _post(self, headers: Mapping[str, str], body: bytes) -> TakenBatch:
        answer = self._asking.send("POST", "/batches", headers, body)
        return TakenBatch(answer["batch_uuid"], tuple(task["task_uuid"] for task in answer["tasks"]))


def refused_key(refused: RefusedBatch) -> str:
    """Return the Idempotency-Key of a batch that is to be refused: the id of such a batch follows from it."""
    return f"soak-refused-{refused.number}"
