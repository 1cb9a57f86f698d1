"""Finds out that another worker has our id.

"row N" is the fault's number in KAFKA_CONSUMER.md.
"""

from kafka.coordinator.base import ConsumerGroupMetadata
from kafka.errors import FencedInstanceIdError


class Fenced(Exception):
    """Another worker runs with this WORKER_ID."""


def is_member(snapshot: ConsumerGroupMetadata) -> bool:
    """Return whether the snapshot is of a member that has joined its group.

    Row 9: the broker takes offsets of generation -1, so nothing may be committed with another snapshot.
    """
    return bool(snapshot.generation_id >= 0 and snapshot.member_id)


def raise_if_fenced(
    error: BaseException,
    snapshot: ConsumerGroupMetadata,
    current: ConsumerGroupMetadata,
    may_be_forgotten: bool,
) -> None:
    """Raise Fenced if the broker refused `snapshot` because another worker has our id.

    Row 10: a refusal of our current member id is another worker's doing, one of an older id is our rejoin's.
    Row 22: a member that may be forgotten will join afresh, which the poll thread sees to.
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
