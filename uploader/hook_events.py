"""Tells receivers of tasks that have begun, and of their progress: best effort, beside everything else.

The uploaders do it, because they have the secrets and call receivers anyway. They learn of it from the status
topic, which they share by a group of its own: all progress of a run is in one partition, so one uploader sees
it. Nothing waits for these calls, nothing repeats them, and a task's end does not pass here.
"""

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from common.outbound.guarded_session import OutboundNetwork
from common.tasks.messages import HookEvent, State, Status
from common.tasks.messages.callback import EventCallback
from common.waiting import go_on
from uploader import webhook
from uploader.places import host_of_hook

log = logging.getLogger(__name__)

SLOTS = 4
_TIMEOUT_S = 5.0
_STEP = 0.1
_EVERY_S = 10.0
_MOST_WAITING = 1000
_MOST_RUNS = 10_000
# Before the start, and once the outcome is known: its callback is on its way.
_SAID_NOTHING_OF = (State.QUEUED, State.DELIVERING)
Run = tuple[UUID, int]


@dataclass(frozen=True)
class Event:
    """A call that waits. Each host has one call of a user under way."""

    hook_url: str
    user: str
    webhook_id: str
    body: bytes

    @property
    def receiver(self) -> tuple[str, str]:
        return host_of_hook(self.hook_url), self.user


@dataclass
class _Told:
    """Notes what was said of a run last. `at` is in seconds since the epoch, by the status."""

    progress: float
    at: float


class EventPlanner:
    """Decides which statuses are told of. Used by one thread."""

    def __init__(self) -> None:
        self._told: OrderedDict[Run, _Told] = OrderedDict()

    def events_of(self, status: Status) -> list[Event]:
        """Return the events that this status of a run makes: none, `started`, `progress`, or both."""
        run = (status.task_uuid, status.run)
        if status.state.is_final:
            self._told.pop(run, None)
            return []
        if status.hook_url is None or not status.hook_events or status.state in _SAID_NOTHING_OF:
            return []
        told, found = self._told.get(run), []
        if told is None:
            self._remember(run, _Told(0.0, status.at))
            if HookEvent.STARTED in status.hook_events:
                found.append(_event(status, HookEvent.STARTED, status.hook_url, "started"))
            return found
        progress = status.progress or 0.0
        far = progress >= told.progress + _STEP
        late = progress > told.progress and status.at >= told.at + _EVERY_S
        if HookEvent.PROGRESS in status.hook_events and (far or late):
            self._remember(run, _Told(progress, status.at))
            name = f"progress.{int(100 * progress)}"
            found.append(_event(status, HookEvent.PROGRESS, status.hook_url, name))
        return found

    def _remember(self, run: Run, told: _Told) -> None:
        self._told[run] = told
        self._told.move_to_end(run)
        if len(self._told) > _MOST_RUNS:
            self._told.popitem(last=False)


class EventSender:
    """Sends events in threads of its own. `put` never blocks.

    Users come in turn, and one has half of the threads at most. Where too many events wait, the oldest one of
    the user with the most is dropped.
    """

    def __init__(self, network: OutboundNetwork, secrets: Sequence[str], slots: int = SLOTS):
        self._network, self._secrets = network, secrets
        # By user and id. The user whose turn is next comes first; none is without events.
        self._waiting: OrderedDict[str, OrderedDict[str, Event]] = OrderedDict()
        self._busy: set[tuple[str, str]] = set()
        self._most_of_user = max(1, slots // 2)
        self._changed = threading.Condition()
        self._is_stopping = False
        self._threads = [
            threading.Thread(target=self._run, name="hook-event", daemon=True) for _ in range(slots)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send nothing more. A call that is under way ends by itself."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def put(self, event: Event) -> None:
        with self._changed:
            self._waiting.setdefault(event.user, OrderedDict())[event.webhook_id] = event
            if sum(map(len, self._waiting.values())) > _MOST_WAITING:
                most = max(self._waiting.values(), key=len)
                self._take(next(iter(most.values())))
            self._changed.notify()

    def _run(self) -> None:
        while (event := self._next()) is not None:
            try:
                self._send(event)
            except Exception:  # the loop's edge: the next event may fare better
                log.exception("an event could not be sent")
            finally:
                with self._changed:
                    self._busy.discard(event.receiver)
                    self._changed.notify_all()

    def _next(self) -> Event | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or self._first_free())
            event = None if self._is_stopping else self._first_free()
            if event is None:
                return None
            self._take(event)
            self._busy.add(event.receiver)
            if event.user in self._waiting:
                self._waiting.move_to_end(event.user)
            return event

    def _first_free(self) -> Event | None:
        calls = Counter(user for _, user in self._busy)
        for user, events in self._waiting.items():
            if calls[user] < self._most_of_user:
                free = (event for event in events.values() if event.receiver not in self._busy)
                if (event := next(free, None)) is not None:
                    return event
        return None

    def _take(self, event: Event) -> None:
        events = self._waiting[event.user]
        del events[event.webhook_id]
        if not events:
            del self._waiting[event.user]

    def _send(self, event: Event) -> None:
        answer = webhook.deliver(
            event.hook_url, event.body, event.webhook_id, self._secrets, self._network, go_on, _TIMEOUT_S
        )
        if (error := webhook.as_error(answer)) is not None:
            log.info("event %s was not taken: %s", event.webhook_id, error.message)


def _event(status: Status, event: HookEvent, hook_url: str, name: str) -> Event:
    body = EventCallback(
        task_uuid=status.task_uuid,
        status="started" if event is HookEvent.STARTED else "progress",
        timestamp=status.at,
        state=status.state,
        progress=status.progress or 0.0,
        label=status.label,
        metadata=status.metadata,
    )
    return Event(hook_url, status.user, f"{status.task_uuid}.{status.run}.{name}", body.to_bytes())
