"""Metrics of the free space in the directories that a service writes to."""

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from common.observability.prometheus import Numbers
from common.worker.metrics import WorkerMetrics


def register_disks(metrics: WorkerMetrics, directories: Mapping[str, Path]) -> None:
    """Register the free and the total bytes of the file system of each of `directories`, by its name."""
    found = {name: path.absolute() for name, path in directories.items()}
    free, size = partial(_bytes, found, "free"), partial(_bytes, found, "total")
    metrics.register_gauge("uvr_disk_free_bytes", "Free space for a directory.", ("directory",), free)
    metrics.register_gauge("uvr_disk_size_bytes", "The size of its file system.", ("directory",), size)


def _bytes(directories: Mapping[str, Path], field: Literal["free", "total"]) -> Numbers:
    numbers: dict[tuple[str, ...], float] = {}
    for name, path in directories.items():
        try:
            usage = shutil.disk_usage(_existing(path))
        except OSError:  # one directory that cannot be read must not hide the others' numbers
            continue
        numbers[(name,)] = float(getattr(usage, field))
    return numbers


def _existing(path: Path) -> Path:
    """Return the directory, or the nearest parent that exists if it is not made yet."""
    return next(parent for parent in (path, *path.parents) if os.path.exists(parent))
