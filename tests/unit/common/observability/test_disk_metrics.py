"""Room on the disks, as it was a moment ago: a scrape waits for no disk."""

import shutil
import threading
from pathlib import Path

from common.observability.disk_metrics import register_disks
from common.observability.prometheus import new_registry
from tests.support.common.observability.exposition import Exposition
from tests.support.waiting import wait_for


def shown(directories: dict[str, Path], name: str) -> Exposition:
    """Returns what is shown once the directory `name` was looked at."""
    registry = new_registry()
    register_disks(registry, "processor", directories)

    def found() -> Exposition | None:
        now = Exposition.of(registry)
        return now if name in names(now) else None

    return wait_for(found, 20, "a look at the disk")


def names(found: Exposition) -> set[str]:
    return {labels["directory"] for labels in found.labels("uvr_disk_free_bytes")}


def test_a_directory_has_the_room_of_its_file_system(tmp_path):
    found = shown({"temp": tmp_path}, "temp")
    usage = shutil.disk_usage(tmp_path)
    labels = {"service": "processor", "directory": "temp"}
    assert found.value("uvr_disk_size_bytes", **labels) == usage.total
    assert 0 < found.value("uvr_disk_free_bytes", **labels) < usage.total


def test_one_that_is_not_there_yet_is_looked_for_above(tmp_path):
    found = shown({"output": tmp_path / "not" / "yet"}, "output")
    assert found.value("uvr_disk_size_bytes", directory="output") == shutil.disk_usage(tmp_path).total


def test_one_that_cannot_be_asked_leaves_the_others(tmp_path):
    assert "temp" in names(shown({"broken": tmp_path / ("x" * 300), "temp": tmp_path}, "temp"))


def test_a_disk_that_hangs_holds_up_neither_the_scrape_nor_the_others(tmp_path, monkeypatch):
    hanging, real = tmp_path / "far", shutil.disk_usage
    hanging.mkdir()
    begun, goes_on = threading.Event(), threading.Event()

    def disk_usage(path: Path):
        if path == hanging:
            begun.set()
            goes_on.wait()
        return real(path)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    try:
        found = shown({"output": hanging, "temp": tmp_path}, "temp")
        assert begun.wait(20)
        assert names(found) == {"temp"}
    finally:
        goes_on.set()
