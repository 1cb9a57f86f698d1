"""Keeps account of the uploads that one call has made, and removes those that no task will need."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel

from uvr_client import answers
from uvr_client.errors import Conflict, NotFound, RequestError, UvrError
from uvr_client.parts import Part
from uvr_client.transport import Repeat, Transport

# One removal's limit, and after how long none begins any more. A user who interrupts need not wait for an api
# that is slow or does not answer.
_REMOVAL_S, _REMOVALS_S, _INTERRUPTED_REMOVALS_S = 5.0, 60.0, 5.0
_REMOVAL = "DELETE /uploads/ID of the api"

M = TypeVar("M", bound=BaseModel)


class BegunUpload(BaseModel):
    """An upload as the api answers it: `audio` is its name in a submission."""

    upload_id: UUID
    audio: str
    url: str | None = None
    parts: tuple[Part, ...] = ()


class CallUploads:
    """The uploads of one call, which is the body of the `with` statement.

    An upload without a task holds its user's quota until it expires, and the api lists no uploads. So a call
    that ends by an error has its uploads removed. The exceptions are named in a note of the error: those that
    could not be removed, and those of a submission whose answer is unknown, which a repeat may need.
    """

    def __init__(self, transport: Transport):
        self._transport = transport
        self._ids: list[UUID] = []
        self._is_sent = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not self._ids:
            return
        if self._is_sent and not _is_refusal(error):
            error.add_note(_kept(self._ids))
        else:
            self._remove_all(error)

    def begin(self, wanted: Mapping[str, Any]) -> BegunUpload:
        """Begins an upload. Raises UvrError."""
        answer = self._transport.request("POST", "/uploads", Repeat.UNSENT, json=wanted)
        begun = answers.read(BegunUpload, answer.content)
        self._ids.append(begun.upload_id)
        return begun

    def submit(self, model: type[M], path: str, body: Mapping[str, Any], key: str) -> M:
        """Returns the answer to the submission, which may name the uploads. Raises UvrError.

        An answer that is no `model` counts as lost: a proxy may have given it though the api took the task.
        """
        # json.dumps writes ASCII: text that is not valid Unicode reaches the api, which names the error.
        content = json.dumps(body)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        self._is_sent = True
        answer = self._transport.request("POST", path, Repeat.ANY, content=content, headers=headers)
        return answers.read(model, answer.content)

    def _remove_all(self, error: BaseException) -> None:
        """Removes uploads until the time is up. A note of `error` names those that stay, and tells why."""
        left, used = list(self._ids), list[UUID]()
        why = "removing them takes too long"
        clock = self._transport.patience.clock
        end_s = clock() + (_REMOVALS_S if isinstance(error, Exception) else _INTERRUPTED_REMOVALS_S)
        try:
            if len(left) > 1:
                self._announce(len(left))
            while left and clock() < end_s:
                if not self._remove(left[0]):
                    used.append(left[0])
                del left[0]
        except UvrError as failure:  # it would meet the others too
            why = str(failure)
        except KeyboardInterrupt as interrupt:
            error, why = interrupt, "interrupted"
            raise
        finally:
            if left:
                error.add_note(_not_removed(left, why))
            if used:
                error.add_note(_not_removed(used, "a task needs them, or the api keeps them for one"))

    def _announce(self, count: int) -> None:
        with suppress(UvrError, OSError):  # nobody reads it: they are removed nevertheless
            self._transport.patience.say(f"removing {count} uploads from the store; Ctrl-C leaves them there")

    def _remove(self, upload_id: UUID) -> bool:
        """Removes an upload. Returns False if the api says that a task needs it. Raises UvrError."""
        try:
            self._transport.request("DELETE", f"/uploads/{upload_id}", Repeat.NEVER, timeout=_REMOVAL_S)
        except NotFound:
            pass
        except Conflict:
            return False
        return True


def _is_refusal(error: BaseException) -> bool:
    """Returns whether the api has said that it takes no task, so that none needs the uploads.

    Should an earlier request of the same call be under way still, a removal does no harm: the api keeps an
    upload that a task needs, and takes no task whose upload is gone.
    """
    return isinstance(error, RequestError) and 400 <= error.status < 500


def _kept(ids: Sequence[UUID]) -> str:
    return (
        f"kept, since the api may have queued what was submitted (see uvr list): {_names(ids)}. "
        f"Submit what is not there by this name, or remove it by {_REMOVAL}"
    )


def _not_removed(ids: Sequence[UUID], why: str) -> str:
    return f"still in the store until it expires: {_names(ids)} ({why}). To remove it before, use {_REMOVAL}"


def _names(ids: Sequence[UUID]) -> str:
    return " ".join(f"upload:{one}" for one in ids)
