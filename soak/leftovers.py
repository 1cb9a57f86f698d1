"""Says which objects may stay in the bucket after a soak: those that callbacks name, and few others."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from common.storage.bucket_keys import BatchKeys, RunKeys, cached
from soak.accounts import ACCOUNTS

_RUN = 1  # nobody asks for another run
# The stage's marker, and the users' entries in the cache.
_MAY_STAY = re.compile(
    "|".join(["stage/[.]uvr-stage", *(cached("", a.name, "[0-9a-f]{64}") for a in ACCOUNTS)])
)


def strays(
    keys: Iterable[str],
    bucket: str,
    told: Iterable[Mapping[str, Any]],
    deleted: Collection[str],
    batch_uuids: Iterable[str],
) -> list[str]:
    """Return those of the keys that may not stay.

    `told` are the tasks' last callbacks, whose links are into `bucket`. Of a `deleted` task only the
    tombstone may stay. A batch's callback stays for 30 days, with the mark that it was delivered.
    """
    may_stay = {key for body in told for key in _of_task(body, bucket, deleted)}
    for batch_uuid in batch_uuids:
        batch = BatchKeys("", UUID(batch_uuid))
        may_stay |= {batch.callback, batch.delivered}
    return [key for key in keys if key not in may_stay and not _MAY_STAY.fullmatch(key)]


def _of_task(body: Mapping[str, Any], bucket: str, deleted: Collection[str]) -> Iterator[str]:
    """Yield the keys of a task: a failed one has its manifest, a success also the stems and their peaks."""
    run = RunKeys("", UUID(body["task_uuid"]), _RUN)
    yield run.manifest
    if body["status"] == "success" and body["task_uuid"] not in deleted:
        yield run.peaks
        for stem in body["stems"].values():
            yield unquote(urlsplit(stem["url"]).path).removeprefix(f"/{bucket}/")
