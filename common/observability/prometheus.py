"""Metrics for `GET /metrics`, in Prometheus' text format.

Names and units follow Prometheus' conventions. Each label has few values, all known at the start, so that
every counter starts at 0: a rate would miss the first event of a counter that starts at 1. The exception is
`uvr_http_requests_total`: its series begin with the first request of a route and status.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from common import __version__

# Each number by the values of its labels.
Numbers = Mapping[tuple[str, ...], float]


def new_registry() -> CollectorRegistry:
    """Return a registry with the service's version and the process's memory, CPU time and descriptors."""
    # Without this each counter would have a second series, with the time of its creation.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves its return type out
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Gauge("uvr_build_info", "Always 1; the version is the label.", ["version"], registry=registry)
    build.labels(__version__).set(1)
    return registry


def exposition(registry: CollectorRegistry) -> tuple[str, bytes]:
    """Returns the content type and the text of the answer of `/metrics`."""
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)


class Reading(Collector):
    """A metric whose numbers are read only when `/metrics` is asked for.

    `read` must return at once: a store that hangs must not take all metrics away. See `Refreshed`.
    """

    def __init__(
        self,
        family: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        documentation: str,
        labels: Sequence[str],
        read: Callable[[], Numbers],
    ):
        self._family, self._name, self._documentation = family, name, documentation
        self._labels, self._read = labels, read

    def collect(self) -> Iterable[Metric]:
        family = self._family(self._name, self._documentation, labels=self._labels)
        for values, number in self._read().items():
            family.add_metric(values, number)
        yield family


def register_readiness(registry: CollectorRegistry, service: str, is_ready: Callable[[], bool]) -> None:
    """Registers what `/readyz` says, so that an alert can see it. `is_ready` must not wait for anything."""

    def numbers() -> Numbers:
        return {(service,): float(is_ready())}

    documentation = "1 if /readyz answers 200, else 0."
    registry.register(Reading(GaugeMetricFamily, "uvr_ready", documentation, ["service"], numbers))
