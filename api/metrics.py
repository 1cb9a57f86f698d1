"""The counters behind `GET /metrics`: sums over all users, without anybody's name or address."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from starlette.types import Scope

from common.observability.prometheus import Reading, new_registry

_NO_ROUTE = "none"


class SignInRefusal(StrEnum):
    """The values of `reason` for requests that were not let in."""

    MISSING = "missing"
    WRONG = "wrong"
    TOO_MANY_FAILURES = "too_many_failures"
    BUSY = "busy"
    KEY_ENDED = "key_ended"
    """A key that has expired, that is revoked, or whose user is gone."""


class TaskRefusal(StrEnum):
    """The values of `reason` for valid submissions that became no task."""

    KEY_REUSED = "key_reused"
    TOO_MANY_QUEUED = "too_many_queued"
    TOO_MANY_QUEUED_BY_USER = "too_many_queued_by_user"
    PRIORITY_NOT_ALLOWED = "priority_not_allowed"
    TOO_MANY_RUNNING = "too_many_running"
    AUDIO_LIMIT_REACHED = "audio_limit_reached"


class Ended(StrEnum):
    """The values of `how` for connections that the api has ended."""

    REFUSED = "refused"
    CUT_OFF = "cut_off"
    """It waited for its client, and made room for another connection."""
    STALLED = "stalled"
    """Its client took nothing of its answer."""


class Limit(StrEnum):
    """The values of `limit`: the limit by which a connection was ended."""

    ALL = "all"
    ADDRESS = "address"
    DESCRIPTORS = "descriptors"
    TIME = "time"


@dataclass(frozen=True)
class ApiMetrics:
    registry: CollectorRegistry
    requests: Counter
    tasks_queued: Counter
    task_refusals: Counter
    sign_in_refusals: Counter
    connections_ended: Counter
    records_skipped: Counter

    @classmethod
    def create(cls) -> Self:
        registry = new_registry()
        sign_in_refusals = Counter(
            "uvr_sign_in_refusals",
            "Requests without a valid sign-in, by reason.",
            ["reason"],
            registry=registry,
        )
        for sign_in_refusal in SignInRefusal:
            sign_in_refusals.labels(sign_in_refusal)
        task_refusals = Counter(
            "uvr_task_refusals",
            "Valid submissions that became no task, by reason.",
            ["reason"],
            registry=registry,
        )
        for task_refusal in TaskRefusal:
            task_refusals.labels(task_refusal)
        ended = Counter(
            "uvr_connections_ended",
            "Connections that were refused, or cut off to make room for another, by limit.",
            ["how", "limit"],
            registry=registry,
        )
        for how in Ended:
            for limit in Limit:
                ended.labels(how, limit)
        skipped = Counter(
            "uvr_view_records_skipped",
            "Records that the view has skipped, because they are no valid messages.",
            ["kind"],
            registry=registry,
        )
        for kind in ("tasks", "statuses", "deliveries", "workers", "batches"):
            skipped.labels(kind)
        return cls(
            registry,
            Counter(
                "uvr_http_requests", "Requests, by route and status.", ["route", "status"], registry=registry
            ),
            Counter("uvr_tasks_queued", "Tasks that Kafka has confirmed.", registry=registry),
            task_refusals,
            sign_in_refusals,
            ended,
            skipped,
        )

    def count_connections(self, open_connections: Callable[[], int]) -> None:
        """Register the gauge of the connections that are open now."""

        def numbers() -> dict[tuple[str, ...], float]:
            return {(): float(open_connections())}

        self.registry.register(Reading(GaugeMetricFamily, "uvr_connections", "Open now.", [], numbers))

    def record_skipped(self, kind: str) -> None:
        """`kind` is tasks, statuses, deliveries, workers or batches."""
        self.records_skipped.labels(kind).inc()

    def connection_ended(self, how: Ended, limit: Limit) -> None:
        self.connections_ended.labels(how, limit).inc()

    def refused(self, reason: SignInRefusal) -> None:
        self.sign_in_refusals.labels(reason).inc()

    def task_refused(self, reason: TaskRefusal) -> None:
        self.task_refusals.labels(reason).inc()

    def answered(self, scope: Scope, status: int) -> None:
        """Count an answer. `scope` is as the router has left it; a `status` of 0 stands for no answer."""
        # The route's own path: clients can ask for any number of paths, each of which would be a label.
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        self.requests.labels(route, str(status)).inc()
