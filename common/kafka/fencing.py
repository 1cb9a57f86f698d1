"""Two workers with one id: how either learns of it."""

from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import FencedInstanceIdError


class Fenced(Exception):
    """Another worker runs with this WORKER_ID."""


def raise_if_fenced(
    error: BaseException,
    snapshot: ConsumerGroupMetadata,
    current: ConsumerGroupMetadata,
    may_be_forgotten: bool,
) -> None:
    """Row 10: with our current member id it is another worker's doing, with an older one our rejoin's.

    Row 22: who may be forgotten will join afresh, which the poll thread sees to.
    """
    if may_be_forgotten or not _mentions(error, FencedInstanceIdError):
        return
    if snapshot.generation_id >= 0 and current.member_id == snapshot.member_id:
        raise Fenced(Fenced.__doc__)


def _mentions(error: BaseException, kind: type[BaseException]) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind) or kind.__name__ in repr(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
