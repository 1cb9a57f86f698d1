"""Reads `/metrics` as Prometheus does."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from common.observability.prometheus import exposition

# The endings of the names of a family's series, by the family's kind.
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


@dataclass(frozen=True)
class Exposition:
    text: str

    @classmethod
    def of(cls, registry: CollectorRegistry) -> "Exposition":
        return cls(exposition(registry)[1].decode())

    @cached_property
    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text))

    @property
    def series(self) -> set[str]:
        """Returns the names that a query may use, including families without numbers."""
        names: set[str] = set()
        for family in self.families:
            names |= {family.name + suffix for suffix in _SUFFIXES.get(family.type, ("",))}
        return names

    def value(self, name: str, **labels: str) -> float:
        """Returns the sum of the series that have these labels, among others; 0 if there is none."""
        return sum(value for found, value in self._samples(name) if labels.items() <= found.items())

    def labels(self, name: str) -> list[dict[str, str]]:
        return [labels for labels, _ in self._samples(name)]

    def _samples(self, name: str) -> Iterable[tuple[dict[str, str], float]]:
        for family in self.families:
            for sample in family.samples:
                if sample.name == name:
                    yield sample.labels, sample.value
