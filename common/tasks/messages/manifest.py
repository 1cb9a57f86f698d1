"""The small objects in the bucket beside callbacks: what is left of deleted results, and cache entries."""

from typing import Literal
from uuid import UUID

from pydantic import ValidationError

from common.tasks.messages.callback import PublishedStem, UsedModel, WrittenOutput
from common.tasks.messages.fields import Gain, MessageModel, Moment, Run

# No callback's body is as short, so a listing tells tombstones from manifests.
MAX_TOMBSTONE_BYTES = 80


class Tombstone(MessageModel):
    """Takes the place of the manifest of a deleted run: a late result of the run is not published again.

    `deleted_at` is in seconds since the epoch.
    """

    status: Literal["deleted"] = "deleted"
    deleted_at: Moment


class CacheEntry(MessageModel):
    """Says which run has the stems of a song with these choices and models, and how they were made.

    `created_at` is in seconds since the epoch. The `url` of a stem has no host: it is the object's key.
    """

    task_uuid: UUID
    run: Run
    created_at: Moment
    stems: dict[str, PublishedStem]
    model: str
    device: str
    runtime: str | None = None
    precision: str | None = None
    precision_fallback: str | None = None
    gain: Gain = 1.0
    models: tuple[UsedModel, ...] | None = None
    output: WrittenOutput | None = None
    version: str | None = None


def as_tombstone(body: bytes | None) -> Tombstone | None:
    """Returns the tombstone in a manifest's place; None for a manifest, or for None."""
    try:
        return Tombstone.model_validate_json(body or b"")
    except ValidationError:
        return None


def as_cache_entry(body: bytes | None) -> CacheEntry | None:
    """Returns the entry that an object of the cache holds; None for anything else."""
    try:
        return CacheEntry.model_validate_json(body or b"")
    except ValidationError:
        return None
