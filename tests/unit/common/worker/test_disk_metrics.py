"""Room on the disks, as it is when it is asked for."""

import shutil
from pathlib import Path

from common.worker.disk_metrics import register_disks
from common.worker.metrics import WorkerMetrics
from tests.support.common.observability.exposition import Exposition


def shown(directories: dict[str, Path]) -> Exposition:
    metrics = WorkerMetrics.create("processor")
    register_disks(metrics, directories)
    return Exposition.of(metrics.registry)


def test_a_directory_has_the_room_of_its_file_system(tmp_path):
    found = shown({"temp": tmp_path})
    usage = shutil.disk_usage(tmp_path)
    labels = {"service": "processor", "directory": "temp"}
    assert found.value("uvr_disk_size_bytes", **labels) == usage.total
    assert 0 < found.value("uvr_disk_free_bytes", **labels) < usage.total


def test_one_that_is_not_there_yet_is_looked_for_above(tmp_path):
    found = shown({"output": tmp_path / "not" / "yet"})
    assert found.value("uvr_disk_size_bytes", directory="output") == shutil.disk_usage(tmp_path).total


def test_one_that_cannot_be_asked_leaves_the_others(tmp_path):
    found = shown({"broken": tmp_path / ("x" * 300), "temp": tmp_path})
    assert {labels["directory"] for labels in found.labels("uvr_disk_free_bytes")} >= {"temp"}
