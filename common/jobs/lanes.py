"""Says to the worker which lane and which user a record belongs to."""

from collections.abc import Callable
from dataclasses import dataclass

from common.kafka.lanes import DEFAULT_PRIORITY
from common.kafka.records import Record


@dataclass(frozen=True)
class Ticket:
    """The lane and the user of a record: they decide when the record has its turn."""

    priority: int = DEFAULT_PRIORITY
    user: str = ""


NO_TICKET = Ticket()


@dataclass(frozen=True)
class LaneRules:
    """A service's lanes: `topics` are read beside the service's own, `ticket_of` reads a record's ticket."""

    topics: tuple[str, ...] = ()
    ticket_of: Callable[[Record], Ticket] = lambda record: NO_TICKET


ONE_LANE = LaneRules()
