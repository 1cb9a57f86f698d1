"""`models prepare` makes everything anew: a damaged converted network does not stay."""

import contextlib
import fcntl
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from processor.models import model_files
from processor.models.model_files import ModelFiles
from processor.preparation import command, conversion, decision, installation, prepare
from processor.preparation.gate import Trial
from processor.separation import device
from processor.separation.runtimes import openvino_core
from tests.support.processor import random_checkpoints


def write(source, path: Path) -> None:
    """Write a network in place of OpenVINO."""
    path.write_text("<net/>")
    path.with_suffix(".bin").write_bytes(random.Random(0).randbytes(16_384))


@pytest.fixture
def files(tmp_path, monkeypatch) -> ModelFiles:
    """A model that is neither converted nor measured: OpenVINO is as fast as torch."""
    monkeypatch.setattr(openvino_core, "convert", write)
    monkeypatch.setattr(conversion, "open_cores", lambda sources, plan, choice: [])
    monkeypatch.setattr(conversion, "_times_as_long", lambda sources, ours, own: 1.0)
    monkeypatch.setattr(prepare, "_trials", lambda files, target, *plans: [Trial({}, 1.0) for _ in plans])
    monkeypatch.setenv("DEVICE", "cpu")
    monkeypatch.setenv("PRECISION", "fp32")
    monkeypatch.setenv("MODEL_FILE_DIR", str(tmp_path))
    return model_files.ensure(random_checkpoints.write_mdx23c(tmp_path), tmp_path, fetch=False)


def prepare_by_command(files: ModelFiles) -> int:
    return command.main(["prepare", files.name])


@contextlib.contextmanager
def no_signals() -> Iterator[Callable[[], None]]:
    yield lambda: None


def network(files: ModelFiles) -> Path:
    (path,) = decision.directory(files).glob("core-*.xml")
    return path


def cut_off(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-4096])


def zeroed(weights: Path) -> None:
    weights.write_bytes(bytes(weights.stat().st_size))


def one_block_zeroed(weights: Path) -> None:
    good = weights.read_bytes()
    weights.write_bytes(good[:4096] + bytes(4096) + good[8192:])


def description_cut_off(weights: Path) -> None:
    path = weights.with_suffix(".xml")
    path.write_bytes(path.read_bytes()[:3])


@pytest.mark.parametrize("damage", [cut_off, zeroed, one_block_zeroed, Path.unlink, description_cut_off])
def test_a_damaged_network_is_converted_anew(files, damage):
    assert prepare_by_command(files) == 0
    weights = network(files).with_suffix(".bin")
    good = weights.read_bytes()
    damage(weights)
    assert installation.kept_plan(files, device.CPU, "fp32") is None
    assert prepare_by_command(files) == 0
    assert installation.kept_plan(files, device.CPU, "fp32").runtime == "openvino"
    assert weights.read_bytes() == good


@pytest.mark.slow
@pytest.mark.usefixtures("one_trial")
def test_so_is_one_that_openvino_refuses(tmp_path):
    name = random_checkpoints.write_mdx23c(tmp_path)
    arguments = ["prepare", name, "--dir", str(tmp_path), "--device", "cpu", "--precision", "fp32"]
    assert command.main(arguments) == 0
    (weights,) = tmp_path.glob("prepared/*/core-*.bin")
    good = weights.read_bytes()
    cut_off(weights)
    assert command.main(arguments) == 0
    (kept,) = tmp_path.glob("prepared/*/*.json")
    assert "refuses" not in kept.read_text()
    assert weights.read_bytes() == good


def test_a_processor_keeps_the_network_that_it_has_open(files):
    assert prepare_by_command(files) == 0
    with network(files).with_suffix(".bin").open("rb") as opened:
        before = opened.read()
        assert prepare_by_command(files) == 0
        assert os.fstat(opened.fileno()).st_nlink == 0
        opened.seek(0)
        assert opened.read() == before


def test_the_networks_of_another_preparation_stay_until_it_has_ended(files, monkeypatch):
    """It would miss them otherwise, and what it decides then does not count for the operator's command."""
    codes: list[int] = []
    is_waiting, flock = threading.Event(), fcntl.flock
    waiting = threading.Thread(target=lambda: codes.append(prepare_by_command(files)))

    def tell(file, operation: int) -> None:
        if threading.current_thread() is waiting and not operation & fcntl.LOCK_NB:
            is_waiting.set()
        flock(file, operation)

    def report(step: str) -> None:
        if step.startswith("comparing"):
            waiting.start()
            assert is_waiting.wait(60)
            before.append(network(files).with_suffix(".bin").open("rb"))

    before: list[BinaryIO] = []
    monkeypatch.setattr(fcntl, "flock", tell)
    # A stop can only be told in the main thread.
    monkeypatch.setattr(command.terminal, "stopped_in_good_order", no_signals)
    first = installation.prepare(files, "cpu", "fp32", report)
    waiting.join(120)
    assert first.is_finished
    assert codes == [0]
    with before[0] as removed:
        assert os.fstat(removed.fileno()).st_nlink == 0


@pytest.fixture
def converted(files) -> Path:
    decision.directory(files).mkdir(parents=True)
    conversion.convert(files, lambda step: None)
    return network(files)


def test_a_network_without_weights_is_converted_by_any_preparation(files, converted):
    converted.with_suffix(".bin").unlink()
    assert conversion.convert(files, lambda step: None).core_files == (converted,)
    assert converted.with_suffix(".bin").exists()


def test_without_its_weights_a_network_has_no_plan(files, converted):
    made = installation.prepare(files, "cpu", "fp32", lambda step: None)
    assert decision.plan(files, made) is not None
    converted.with_suffix(".bin").unlink()
    assert decision.plan(files, made) is None
    assert installation.kept_plan(files, device.CPU, "fp32") is None


def test_a_network_is_on_the_disk_before_it_counts(files, monkeypatch):
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note(file: int) -> None:
        done.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{file}')).name}")
        fsync(file)

    def note_rename(path: Path, target: Path) -> Path:
        done.append(f"rename {path.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "rename", note_rename)
    directory = decision.directory(files)
    directory.mkdir(parents=True)
    conversion.convert(files, lambda step: None)
    assert sorted(done[:2]) == ["fsync partial-0.bin", "fsync partial-0.xml"]
    assert done[2:] == ["rename partial-0.bin", f"fsync {directory.name}", "rename partial-0.xml"]
