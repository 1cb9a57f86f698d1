"""The events of a task that its `hook_url` may be told of."""

from collections.abc import Sequence
from enum import StrEnum


class HookEvent(StrEnum):
    """The events, in their order. The last three are ends: each run has exactly one of them."""

    STARTED = "started"
    PROGRESS = "progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


DEFAULT_EVENTS = (HookEvent.SUCCEEDED, HookEvent.FAILED, HookEvent.CANCELLED)
PASSING_EVENTS = (HookEvent.STARTED, HookEvent.PROGRESS)
HookEvents = tuple[HookEvent, ...]


def is_wanted(event: HookEvent, wanted: Sequence[HookEvent] | None) -> bool:
    """Return whether the receiver is told of `event`. None stands for the default."""
    return event in (DEFAULT_EVENTS if wanted is None else wanted)


def in_order(given: Sequence[HookEvent] | None) -> HookEvents | None:
    """Return each event once, in their order; None for the default, so that it is left out of messages."""
    if given is None:
        return None
    events = tuple(event for event in HookEvent if event in given)
    return None if events == DEFAULT_EVENTS else events
