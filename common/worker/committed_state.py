"""The state that a worker commits for a partition, as offset and metadata: which records are done.

The metadata is `{"n": next, "a": {"19": 2, "21": [3, 1]}}`. Every record below `n` and not in `a` is done.
The records in `a` are running, each with the number of attempts begun. Where some attempts were handed back,
as they were stopped in good order, a second number counts those: they do not count toward MAX_ATTEMPTS.

The offset is the smallest in `a`, else `n`: a successor reads on from the first unfinished record. Values are
absolute, so committing the same state twice does no harm.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from kafka.structs import OffsetAndMetadata

log = logging.getLogger(__name__)

# A larger count was not written by us.
_MAX_COUNT = 1_000_000


class Step(Enum):
    """One step in the life of a record that is committed."""

    BEGIN = auto()
    """One more attempt begins."""
    FINISH = auto()
    """The record is done."""
    HAND_BACK = auto()
    """The last attempt was stopped in good order: it does not count toward MAX_ATTEMPTS."""
    RESUME = auto()
    """The last attempt, which was handed back, goes on: it counts again."""


@dataclass(frozen=True)
class CommittedState:
    """The state of one partition. `active` maps offsets to attempts begun (0: leased, not begun).

    Attempts are never counted down, since files are named by them. `handed_back` counts the attempts that do
    not count toward MAX_ATTEMPTS.
    """

    next_offset: int = 0
    active: Mapping[int, int] = field(default_factory=dict)
    handed_back: Mapping[int, int] = field(default_factory=dict)

    @property
    def offset(self) -> int:
        return min(self.active, default=self.next_offset)

    def is_done(self, offset: int) -> bool:
        return offset < self.next_offset and offset not in self.active

    def attempts(self, offset: int) -> int:
        return self.active.get(offset, 0)

    def counted_attempts(self, offset: int) -> int:
        """Return how many attempts were begun and not handed back."""
        return self.attempts(offset) - self.handed_back.get(offset, 0)

    def admitted(self, offset: int) -> "CommittedState":
        """Return the state with the record leased. All records before it have been read."""
        active = {**self.active, offset: self.attempts(offset)}
        return replace(self, next_offset=max(self.next_offset, offset + 1), active=active)

    def after(self, step: Step, offset: int) -> "CommittedState":
        if step is Step.FINISH:
            return self.finished(offset)
        if step is Step.BEGIN:
            return replace(self, active={**self.active, offset: self.attempts(offset) + 1})
        handed_back = self.handed_back.get(offset, 0)
        if step is Step.RESUME:
            others = _without(self.handed_back, offset)
            return replace(self, handed_back=others | ({offset: handed_back - 1} if handed_back > 1 else {}))
        if not self.counted_attempts(offset):  # done, never begun, or handed back before
            return self
        return replace(self, handed_back={**self.handed_back, offset: handed_back + 1})

    def finished(self, offset: int) -> "CommittedState":
        return replace(
            self, active=_without(self.active, offset), handed_back=_without(self.handed_back, offset)
        )

    def encode(self) -> OffsetAndMetadata:
        running = {
            offset: [begun, self.handed_back[offset]] if offset in self.handed_back else begun
            for offset, begun in self.active.items()
        }
        metadata = json.dumps({"n": self.next_offset, "a": running}, separators=(",", ":"))
        return OffsetAndMetadata(self.offset, metadata, -1)


def decode(committed: OffsetAndMetadata | None) -> CommittedState:
    """Read what was committed. A group that has committed nothing yet has an empty CommittedState.

    Metadata may be not ours, or not of this offset if an operator has moved it. Then every record below the
    offset is done, and no other.
    """
    if committed is None:
        return CommittedState()
    found = _parse(committed.metadata) if committed.metadata else None
    if found is not None and found.offset == committed.offset:
        return found
    if committed.metadata:
        log.warning(
            "committed metadata %r does not belong to offset %d: only the offset is used",
            committed.metadata,
            committed.offset,
        )
    return CommittedState(committed.offset)


def _parse(metadata: str) -> CommittedState | None:
    try:
        fields = json.loads(metadata)
        counts = {int(offset): n if isinstance(n, list) else [n, 0] for offset, n in fields["a"].items()}
        if not 0 <= int(fields["n"]) < 2**63:
            return None
        if any(not 0 <= int(n) <= _MAX_COUNT for pair in counts.values() for n in pair):
            return None
        return CommittedState(
            int(fields["n"]),
            {offset: int(begun) for offset, (begun, _) in counts.items()},
            {offset: int(back) for offset, (_, back) in counts.items() if back},
        )
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return None


def _without(counts: Mapping[int, int], offset: int) -> dict[int, int]:
    return {o: n for o, n in counts.items() if o != offset}
