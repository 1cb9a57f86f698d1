"""How much room there is where a service writes."""

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from common.observability.prometheus import Numbers
from common.worker.metrics import WorkerMetrics


def register_disks(metrics: WorkerMetrics, directories: Mapping[str, Path]) -> None:
    """Registers the free and the whole bytes of the file systems of `directories`, by their names here."""
    found = {name: path.absolute() for name, path in directories.items()}
    free, size = partial(_bytes, found, "free"), partial(_bytes, found, "total")
    metrics.register_gauge("uvr_disk_free_bytes", "Free space for a directory.", ("directory",), free)
    metrics.register_gauge("uvr_disk_size_bytes", "The size of its file system.", ("directory",), size)


def _bytes(directories: Mapping[str, Path], field: Literal["free", "total"]) -> Numbers:
    numbers = {}
    for name, path in directories.items():
        try:
            usage = shutil.disk_usage(_existing(path))
        except OSError:  # it must not hide the other numbers
            continue
        numbers[(name,)] = float(getattr(usage, field))
    return numbers


def _existing(path: Path) -> Path:
    """The directory, or the one above it that it will be made in."""
    return next(parent for parent in (path, *path.parents) if os.path.exists(parent))
