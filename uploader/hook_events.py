"""Tells receivers of tasks that have begun, and of their progress: best effort, beside everything else.

The uploaders do it, because they have the secrets and call receivers anyway. They learn of it from the status
topic, which they share by a group of its own: all progress of a run is in one partition, so one uploader sees
it. Nothing waits for these calls, nothing repeats them, and a task's end does not pass here.
"""

import logging
import threading
from collections import OrderedDict
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
    """A call that waits. `receiver` is host and user: each has one call under way."""

    hook_url: str
    receiver: str
    webhook_id: str
    body: bytes


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
    """Sends events in threads of its own. `put` never blocks; where too many wait, the oldest is dropped."""

    def __init__(self, network: OutboundNetwork, secrets: Sequence[str], slots: int = SLOTS):
        self._network, self._secrets = network, secrets
        self._waiting: OrderedDict[str, Event] = OrderedDict()
        self._busy: set[str] = set()
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
            self._waiting[event.webhook_id] = event
            if len(self._waiting) > _MOST_WAITING:
                self._waiting.popitem(last=False)
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
            while not self._is_stopping:
                free = (one for one in self._waiting.values() if one.receiver not in self._busy)
                if (event := next(free, None)) is not None:
                    del self._waiting[event.webhook_id]
                    self._busy.add(event.receiver)
                    return event
                self._changed.wait()
        return None

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
    receiver = f"{host_of_hook(hook_url)} {status.user}"
    return Event(hook_url, receiver, f"{status.task_uuid}.{status.run}.{name}", body.to_bytes())
