"""`/dead-letters`: what was given up, for administrators to look at and to replay."""

import base64
import binascii
import logging
import struct
from collections.abc import Callable
from functools import partial
from typing import Annotated, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from kafka.errors import KafkaError
from pydantic import ValidationError

from api.dead_letters import letters
from api.dead_letters.desk import Check, DeskBusy
from api.dead_letters.letters import Selection
from api.dead_letters.models import (
    EXAMPLE_LETTER,
    EXAMPLE_PAGE,
    EXAMPLE_REPLAYS,
    MAX_LETTERS,
    Letter,
    LetterPage,
    ReplayRequest,
    Replays,
)
from api.http.body import read_body
from api.problems import ProblemError, explain
from api.routes.access import Admin
from api.routes.parts import AppParts, Parts
from api.routes.responses import SECONDS, answer, answers_about_tasks, problem_answer, reference
from common.deadletter.dead_letter import LetterId
from common.deadletter.mailbox import Place
from common.deadletter.plan import Filter
from common.deadletter.replayer import Overtaken

log = logging.getLogger(__name__)
router = APIRouter(prefix="/dead-letters", tags=["administration"])

T = TypeVar("T")

OVERTAKEN = "replay_overtaken"
UNAVAILABLE = "dead_letters_unavailable"
_OVERTAKEN = (
    "Another replay has begun and this one has stopped: some of the letters may be replayed. Send the same "
    "request again; what was replayed is not replayed twice"
)
_NO_SUCH_LETTER = "There is no such dead letter, or Kafka keeps it no longer"
_RETRY_AFTER_S = 5
_CURSOR = struct.Struct(">dQQ")
_UNAVAILABLE = problem_answer(
    503,
    "Kafka cannot be asked in time, or too many requests about dead letters are under way "
    "(`dead_letters_unavailable`), or too many sign-ins are being checked. After a replay, what was replayed "
    "before stays so, and nothing follows",
    "The dead letters cannot be read at the moment: Kafka did not answer within 60 s",
    error_code=UNAVAILABLE,
    Retry_After=SECONDS,
)


@router.get(
    "",
    summary="List dead letters",
    response_model_exclude_none=True,
    responses=answers_about_tasks(answer("Dead letters, the newest first", EXAMPLE_PAGE))
    | {503: _UNAVAILABLE},
)
async def page(
    _: Admin,
    parts: Parts,
    task: Annotated[UUID | None, Query(description="only letters of this task")] = None,
    since: Annotated[
        float | None, Query(ge=0, le=1e11, description="only letters since then, in seconds since the epoch")
    ] = None,
    code: Annotated[
        str | None, Query(max_length=100, description="only letters with this error code")
    ] = None,
    all_letters: Annotated[bool, Query(alias="all", description="also letters that were replayed")] = False,
    limit: Annotated[int, Query(ge=1, le=MAX_LETTERS)] = 50,
    cursor: Annotated[str | None, Query(max_length=100, description="from a `next` link")] = None,
) -> LetterPage:
    """Return a page of the letters that were not replayed, or of all. For administrators."""
    wanted = Filter(task, since, code)
    after = None if cursor is None else _decode(cursor)
    selection = Selection(wanted, all_letters, after, limit)
    found = await _asked(parts, partial(letters.page, parts.settings, selection))
    following = None
    if found.cut_at is not None:
        given = {"task": task, "since": since, "code": code, "all": "true" if all_letters else None}
        query = {name: value for name, value in given.items() if value is not None}
        following = f"/dead-letters?{urlencode({**query, 'limit': limit, 'cursor': _encode(found.cut_at)})}"
    return LetterPage(letters=found.letters, next=following)


@router.get(
    "/{partition}/{offset}",
    summary="Look at a dead letter",
    response_model_exclude_none=True,
    responses=answers_about_tasks(answer("The letter with what is in it", EXAMPLE_LETTER))
    | {404: problem_answer(404, "There is no such letter", _NO_SUCH_LETTER), 503: _UNAVAILABLE},
)
async def letter(
    _: Admin,
    parts: Parts,
    partition: Annotated[int, Path(ge=0, le=2**31 - 1)],
    offset: Annotated[int, Path(ge=0, le=2**63 - 1)],
) -> Letter:
    """Return everything about one letter. For administrators."""
    found = await _asked(parts, partial(letters.find, parts.settings, LetterId(partition, offset)))
    if found is None:
        raise ProblemError(404, _NO_SUCH_LETTER)
    return found


@router.post(
    "/replay",
    summary="Replay dead letters",
    response_model_exclude_none=True,
    responses=answers_about_tasks(
        answer("What became of each letter. A repeated request replays nothing twice", EXAMPLE_REPLAYS)
    )
    | {
        408: problem_answer(408, "The body came too slowly", "The body did not arrive within 10 s"),
        409: problem_answer(
            409, "Another replay has begun meanwhile (`replay_overtaken`)", _OVERTAKEN, error_code=OVERTAKEN
        ),
        413: problem_answer(413, "The body is too large", "The body is larger than 65536 bytes"),
        503: _UNAVAILABLE,
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": reference(ReplayRequest), "example": {"ids": ["3/17"]}}
            },
        }
    },
)
async def replay(user: Admin, parts: Parts, request: Request) -> Replays:
    """Process up to 100 letters again, each as its task's next run. For administrators.

    Each letter is marked in the transaction that publishes its message, as the command's replays are.
    """
    asked = _checked(await read_body(request, parts.settings.max_body_bytes))
    ids = frozenset(map(LetterId.parse, asked.ids))
    question = partial(letters.replayed, parts.settings, ids, asked.again, asked.dry_run)
    if not asked.dry_run:
        log.info("%s replays %d dead letters: %s", user, len(ids), " ".join(map(str, sorted(ids))))
    try:
        return Replays(letters=await _asked(parts, question))
    except Overtaken:
        raise ProblemError(409, _OVERTAKEN, error_code=OVERTAKEN) from None


def _checked(body: bytes) -> ReplayRequest:
    try:
        return ReplayRequest.model_validate_json(body)
    except ValidationError as error:
        raise ProblemError(400, explain(error.errors(include_url=False, include_input=False))) from None


async def _asked(parts: AppParts, question: Callable[[Check], T]) -> T:
    """Return the answer. Raise ProblemError 503 where Kafka cannot be asked in time, and Overtaken."""
    try:
        return await parts.dead_letters.ask(question)
    except (DeskBusy, KafkaError) as error:
        reason = str(error) or type(error).__name__
        log.warning("dead letters cannot be read or replayed: %s", reason)
        raise ProblemError(
            503,
            f"The dead letters cannot be read at the moment: {reason}",
            error_code=UNAVAILABLE,
            headers={"Retry-After": str(_RETRY_AFTER_S)},
        ) from None


def _encode(last: Place) -> str:
    written_at_s, (partition, offset) = last
    return base64.urlsafe_b64encode(_CURSOR.pack(written_at_s, partition, offset)).decode()


def _decode(cursor: str) -> Place:
    """Raise ProblemError 400 for a text that `_encode` has not made."""
    try:
        written_at_s, partition, offset = _CURSOR.unpack(base64.b64decode(cursor, b"-_", validate=True))
    except (binascii.Error, ValueError, struct.error):
        raise ProblemError(400, "cursor: expected the cursor of a `next` link") from None
    return written_at_s, LetterId(partition, offset)
