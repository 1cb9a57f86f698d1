"""Sends songs as their users do: as links, in forms, and by presigned URLs."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from soak import choices, songs, uploading
from soak.asking import TIMEOUT_S, Asking
from soak.plan import Job, Way


class _Owned(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def user(self) -> str: ...


def keys(owned: Iterable[_Owned]) -> dict[int, str]:
    """Return an Idempotency-Key for each: every user has the same ones, which must not meet."""
    counts: Counter[str] = Counter()
    found = {}
    for one in owned:
        counts[one.user] += 1
        found[one.number] = f"soak-{counts[one.user]}"
    return found


class SongSender:
    """Submits single songs, and brings those of batches to where the batch can name them."""

    def __init__(
        self,
        asking: Asking,
        jobs: Iterable[Job],
        audio_urls: Mapping[int, str],
        hook_urls: Mapping[int, str],
    ):
        self._asking, self._audio_urls, self._hook_urls = asking, audio_urls, hook_urls
        self._keys = keys(job for job in jobs if job.batch is None)

    def submit(self, job: Job) -> str | None:
        """Return the id of the song's task, or None as `Asking.until_answered` does."""
        song = _bytes_of(job)
        audio = self._asking.until_answered(f"job {job.number}", partial(self._audio, job, song))
        if audio is None:
            return None
        return self._asking.until_answered(
            f"job {job.number}", partial(self._post, job, audio, song), is_form=not audio
        )

    def audio(self, job: Job) -> str | None:
        """Return what names the song in a submission, or None as `Asking.until_answered` does."""
        return self._asking.until_answered(f"job {job.number}", partial(self._audio, job, _bytes_of(job)))

    def fields(self, job: Job) -> dict[str, Any]:
        """Return the fields of the job's submission beside its song."""
        return {"hook_url": self._hook_urls[job.number], **choices.submission(job)}

    def _audio(self, job: Job, song: bytes) -> str:
        """Return what names the song in the submission; nothing for a form, which has the song itself."""
        signed_in = self._asking.header(job.user, job.number)
        match job.way:
            case Way.LINK:
                return self._audio_urls[job.number]
            case Way.TWO_STEPS:
                return uploading.upload(self._asking.url, signed_in, song, TIMEOUT_S)
            case Way.BROKEN_FORM:
                body, content_type = uploading.form_of(song, self.fields(job))
                headers = {**signed_in, "Content-Type": content_type}
                url = f"{self._asking.url}/generate"
                uploading.break_off(url, headers, body, TIMEOUT_S, sent_bytes=len(body) // 2)
        return ""

    def _post(self, job: Job, audio: str, song: bytes) -> str:
        """Submit the job and return its task's id."""
        headers = self._asking.header(job.user, job.number) | {"Idempotency-Key": self._keys[job.number]}
        if audio:
            body = json.dumps({"audio": audio, **self.fields(job)}).encode()
        else:
            body, headers["Content-Type"] = uploading.form_of(song, self.fields(job))
        return str(self._asking.send("POST", "/generate", headers, body)["task_uuid"])


def _bytes_of(job: Job) -> bytes:
    """Return the song, unless the service fetches it itself."""
    return b"" if job.way is Way.LINK else songs.song(job)
