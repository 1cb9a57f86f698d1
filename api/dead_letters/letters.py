"""Questions about dead letters, for the desk: a page of them, one of them, and a replay."""

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from api.dead_letters.models import Header, Letter, LetterSummary, ReplayedLetter, ReplayResult
from common.deadletter import text
from common.deadletter.dead_letter import Content, DeadLetter, LetterId
from common.deadletter.mailbox import Mailbox, Place, place
from common.deadletter.plan import Filter, Outdone, Refused, Replay, Replayed
from common.deadletter.replays import Outcome, read, replay
from common.settings.schema import KafkaSettings, TransactionSettings
from common.tasks.audio import shown_audio
from common.tasks.messages import Deletion, Redelivery, Separated, SeparationFailed, Task

Check = Callable[[], None]

_QUERY = re.compile(r"(?<=[^\s?])\?\S*")


@dataclass(frozen=True)
class Page:
    """Some letters, the newest first, and the place behind which there may be more."""

    letters: list[LetterSummary]
    cut_at: Place | None


@dataclass(frozen=True)
class Selection:
    """The letters of a page: those of `wanted` that come after the place `after`."""

    wanted: Filter
    with_replayed: bool
    after: Place | None
    limit: int

    def __call__(self, letter: DeadLetter) -> bool:
        return self.wanted(letter) and (self.after is None or place(letter) < self.after)


def page(settings: KafkaSettings, selection: Selection, check: Check) -> Page:
    """Return a page of letters. Raise KafkaError, and what `check` raises."""
    box = read(settings, selection, selection.limit, selection.with_replayed, check)
    return Page([LetterSummary(**_fields(letter, box)) for letter in box.letters], box.cut_at)


def find(settings: KafkaSettings, letter_id: LetterId, check: Check) -> Letter | None:
    """Return one letter, or None. Raise KafkaError, and what `check` raises."""
    box = read(settings, Filter(ids=frozenset({letter_id})), check=check)
    if not box.letters:
        return None
    (letter,) = box.letters
    return Letter(
        **_fields(letter, box),
        headers=[Header(name=name, value=value) for name, value in text.headers_of(letter)],
        message=_message(letter),
        excerpt=None if letter.message is not None else text.shown(text.bytes_as_text(letter.value)),
        size_bytes=letter.size_bytes,
    )


def replayed(
    settings: TransactionSettings, ids: frozenset[LetterId], again: bool, dry_run: bool, check: Check
) -> list[ReplayedLetter]:
    """Replay letters, and return the results. Raise KafkaError, Overtaken, and what `check` raises."""
    with closing(replay(settings, Filter(ids=ids), again, dry_run, check)) as outcomes:
        return [_told(outcome, dry_run) for outcome in outcomes]


def _told(outcome: Outcome, dry_run: bool) -> ReplayedLetter:
    told = ReplayedLetter(id=str(outcome.letter_id), result=ReplayResult.UNKNOWN)
    match outcome.decision:
        case None:
            return told
        case Replay(_, task_uuid, _, run):
            done = ReplayResult.WOULD_BE_REPLAYED if dry_run else ReplayResult.REPLAYED
            fields: dict[str, Any] = {"task_uuid": task_uuid, "run": run}
            fields |= {"result": done, "succeeded_run": outcome.later_success}
        case Replayed(letter, run):
            fields = {"result": ReplayResult.ALREADY_REPLAYED, "run": run, "task_uuid": letter.task_uuid}
        case Outdone(letter, by):
            fields = {"result": ReplayResult.OUTDONE, "outdone_by": str(by), "task_uuid": letter.task_uuid}
        case Refused(letter, reason):
            shown = text.shown(reason)
            fields = {"result": ReplayResult.REFUSED, "reason": shown, "task_uuid": letter.task_uuid}
    return told.model_copy(update=fields)


def _fields(letter: DeadLetter, box: Mailbox) -> dict[str, Any]:
    known = {"written_at": letter.written_at_s, "name": _name(letter.message), "user": _user(letter.message)}
    return text.as_fields(letter, box) | known


def _name(message: Content | None) -> str | None:
    match message:
        case Task():
            found = message.label or message.file_name or shown_audio(message.audio)
        case Separated() | SeparationFailed():
            found = message.label or message.file_name or message.audio
        case Deletion():
            found = message.audio
        case _:
            return None
    return None if found is None else text.shown(found)


def _user(message: Content | None) -> str | None:
    match message:
        case None:
            return None
        case Deletion():
            return text.shown(message.owner) or None
        case Redelivery():
            # It names who asked for it, who can be an administrator.
            return None
    return text.shown(message.user) or None


def _message(letter: DeadLetter) -> dict[str, Any] | None:
    """Return the message as JSON, without the secrets that addresses in it can hold."""
    if letter.message is None:
        return None
    shown: dict[str, Any] = _without_secrets(letter.message.model_dump(mode="json", exclude_none=True))
    return shown


def _without_secrets(value: Any) -> Any:
    match value:
        case str():
            return _QUERY.sub("?…", text.shown(value)) if "://" in value else text.shown(value)
        case dict():
            return {key: _without_secrets(one) for key, one in value.items()}
        case list():
            return [_without_secrets(one) for one in value]
    return value
