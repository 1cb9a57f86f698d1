"""What the api counts, for `GET /metrics`: sums over all users, with nobody's name or address in them."""

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
    """The values of `reason`: why somebody was not let in."""

    MISSING = "missing"
    WRONG = "wrong"
    TOO_MANY_FAILURES = "too_many_failures"
    BUSY = "busy"


class TaskRefusal(StrEnum):
    """The values of `reason`: why a right submission became no task."""

    KEY_REUSED = "key_reused"
    TOO_MANY_QUEUED = "too_many_queued"
    TOO_MANY_QUEUED_BY_USER = "too_many_queued_by_user"


class Ended(StrEnum):
    """The values of `how`."""

    REFUSED = "refused"
    CUT_OFF = "cut_off"
    """While it waited for its client, so that another had room."""
    STALLED = "stalled"
    """Its client took nothing of its answer."""


class Limit(StrEnum):
    """The values of `limit`: what a connection was ended by."""

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
        refusals = Counter(
            "uvr_sign_in_refusals", "Requests without a right sign-in, by why.", ["reason"], registry=registry
        )
        for reason in SignInRefusal:
            refusals.labels(reason)
        task_refusals = Counter(
            "uvr_task_refusals", "Submissions that became no task, by why.", ["reason"], registry=registry
        )
        for reason in TaskRefusal:
            task_refusals.labels(reason)
        ended = Counter(
            "uvr_connections_ended",
            "Connections that were refused, or cut off so that another had room, by which limit.",
            ["how", "limit"],
            registry=registry,
        )
        for how in Ended:
            for limit in Limit:
                ended.labels(how, limit)
        skipped = Counter(
            "uvr_view_records_skipped",
            "Records that the view has passed over, since they are no messages of ours.",
            ["kind"],
            registry=registry,
        )
        for kind in ("tasks", "statuses", "deliveries"):
            skipped.labels(kind)
        return cls(
            registry,
            Counter(
                "uvr_http_requests", "Requests, by route and status.", ["route", "status"], registry=registry
            ),
            Counter("uvr_tasks_queued", "Tasks that Kafka has confirmed.", registry=registry),
            task_refusals,
            refusals,
            ended,
            skipped,
        )

    def count_connections(self, open_connections: Callable[[], int]) -> None:
        """Registers the gauge of the connections that are open now."""

        def numbers() -> dict[tuple[str, ...], float]:
            return {(): float(open_connections())}

        self.registry.register(Reading(GaugeMetricFamily, "uvr_connections", "Open now.", [], numbers))

    def record_skipped(self, kind: str) -> None:
        """`kind` is tasks, statuses or deliveries."""
        self.records_skipped.labels(kind).inc()

    def connection_ended(self, how: Ended, limit: Limit) -> None:
        self.connections_ended.labels(how, limit).inc()

    def refused(self, reason: SignInRefusal) -> None:
        self.sign_in_refusals.labels(reason).inc()

    def task_refused(self, reason: TaskRefusal) -> None:
        self.task_refusals.labels(reason).inc()

    def answered(self, scope: Scope, status: int) -> None:
        """`scope` as the router has left it; a `status` of 0 is no answer."""
        # The route's own path: those that clients ask for are without number.
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        self.requests.labels(route, str(status)).inc()
