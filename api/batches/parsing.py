"""Reads the body of a batch, and checks it and each of its items."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Never

from pydantic import TypeAdapter, ValidationError

from api.batches.models import BatchSubmission
from api.problems import ItemProblem, ProblemError
from api.submit.refusals import METADATA_INVALID
from api.submit.submission import PlainSubmission, digest, parse
from api.submit.texts import check_metadata
from api.submit.unknown_fields import fields_of, unknown_fields
from common.errors import PermanentError
from common.outbound.addresses import AddressPolicy, validate_text
from common.tasks.messages.batch import MAX_BATCH_ITEMS
from common.tasks.messages.fields import Metadata

ITEMS_INVALID = "items_invalid"
_FIELDS = BatchSubmission.model_fields
_METADATA: TypeAdapter[Any] = TypeAdapter(Metadata | None)
# After so many items other requests get their turn.
_IN_A_TURN = 20


@dataclass(frozen=True)
class Item:
    """One song of the batch, and the names of its unknown fields."""

    submission: PlainSubmission
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class ParsedBatch:
    """A batch whose fields are all good. `digest` is equal for equal batches."""

    items: tuple[Item, ...]
    hook_url: str | None
    metadata: dict[str, Any] | None
    ignored: tuple[str, ...]
    digest: str

    def digest_with(self, songs: Sequence[str]) -> str:
        """Return the digest that the batch would have with these songs in place of its own."""
        return _digest(self.items, self.hook_url, self.metadata, songs)


async def parse_batch(body: bytes, policy: AddressPolicy) -> ParsedBatch:
    """Return the batch.

    Raise ProblemError 400. With the `error_code` `items_invalid` its `problems` tell of each bad item.
    """
    fields = fields_of(body)
    ignored = unknown_fields(fields, _FIELDS, {})
    given, defaults = fields.get("items"), fields.get("defaults")
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_BATCH_ITEMS:
        raise ProblemError(400, f"items: expected a list of 1 to {MAX_BATCH_ITEMS} submissions")
    if defaults is not None and not isinstance(defaults, dict):
        raise ProblemError(400, "defaults: expected an object with fields of a submission")
    hook_url, metadata = _hook_url(fields.get("hook_url"), policy), _metadata(fields.get("metadata"))
    items = await _items(given, defaults or {}, policy)
    return ParsedBatch(items, hook_url, metadata, ignored, _digest(items, hook_url, metadata))


async def _items(given: list[Any], defaults: Mapping[str, Any], policy: AddressPolicy) -> tuple[Item, ...]:
    items: list[Item] = []
    problems: list[ItemProblem] = []
    for index, fields in enumerate(given):
        if index % _IN_A_TURN == _IN_A_TURN - 1:
            await asyncio.sleep(0)
        try:
            items.append(_item(fields, defaults, policy))
        except ProblemError as error:
            problems.append(ItemProblem(index=index, error=error.detail, error_code=error.error_code))
    if problems:
        _refuse(problems)
    return tuple(items)


def _item(fields: Any, defaults: Mapping[str, Any], policy: AddressPolicy) -> Item:
    if not isinstance(fields, dict):
        raise ProblemError(400, "expected an object, as in POST /generate")
    return Item(*parse(json.dumps({**defaults, **fields}).encode(), policy))


def _refuse(problems: list[ItemProblem]) -> Never:
    first, count = problems[0], len(problems)
    what = "1 item is" if count == 1 else f"{count} items are"
    raise ProblemError(
        400,
        f"{what} wrong, so nothing of the batch is queued; items[{first.index}]: {first.error}",
        error_code=ITEMS_INVALID,
        problems=problems,
    )


def refuse_item(index: int, error: ProblemError) -> Never:
    """Raise the problem of one item, as that of the whole batch."""
    problem = ItemProblem(index=index, error=error.detail, error_code=error.error_code)
    raise ProblemError(
        error.status,
        f"Nothing of the batch is queued; items[{index}]: {error.detail}",
        error_code=error.error_code,
        headers=error.headers,
        problems=[problem],
    )


def _hook_url(given: Any, policy: AddressPolicy) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise ProblemError(400, "hook_url: expected an address")
    try:
        validate_text(given, policy)
    except PermanentError as error:
        raise ProblemError(400, f"hook_url: {error.message}", error_code=error.code) from None
    return given


def _metadata(given: Any) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = _METADATA.validate_python(given)
        return None if found is None else check_metadata(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ProblemError(400, f"metadata: {first['msg']}", error_code=METADATA_INVALID) from None
    except ValueError as error:
        raise ProblemError(400, f"metadata: {error}", error_code=METADATA_INVALID) from None


def _digest(
    items: tuple[Item, ...],
    hook_url: str | None,
    metadata: dict[str, Any] | None,
    songs: Sequence[str] | None = None,
) -> str:
    given = [item.submission.audio for item in items] if songs is None else songs
    digests = [digest(item.submission, song) for item, song in zip(items, given, strict=True)]
    parts = [digests, hook_url, metadata]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
