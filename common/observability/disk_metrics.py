"""Metrics of the free space in the directories that a service writes to."""

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from common.observability.prometheus import Numbers, Reading
from common.observability.refreshed import Refreshed


class _Space(NamedTuple):
    free: int
    total: int


def register_disks(registry: CollectorRegistry, service: str, directories: Mapping[str, Path]) -> None:
    """Register the free and the total bytes of the file system of each of `directories`, by its name.

    Each has a thread of its own that looks: the disk of another host may hang. Then its numbers are left out.
    """
    looks = {name: Refreshed(partial(_space, path.absolute())) for name, path in directories.items()}
    for name, look in looks.items():
        look.start(f"disk-{name}")

    def numbers(of: Callable[[_Space], int]) -> Numbers:
        found = {name: look.last() for name, look in looks.items()}
        return {(service, name): float(of(space)) for name, space in found.items() if space is not None}

    for metric, documentation, of in (
        ("uvr_disk_free_bytes", "Free space for a directory.", lambda space: space.free),
        ("uvr_disk_size_bytes", "The size of its file system.", lambda space: space.total),
    ):
        labels = ["service", "directory"]
        registry.register(Reading(GaugeMetricFamily, metric, documentation, labels, partial(numbers, of)))


def _space(path: Path) -> _Space | None:
    """Return the space of the directory, or of the nearest parent that exists if it is not made yet."""
    try:
        usage = shutil.disk_usage(next(one for one in (path, *path.parents) if os.path.exists(one)))
    except OSError:
        return None
    return _Space(usage.free, usage.total)
