"""A model is prepared once for a device; what went wrong meanwhile never keeps it from separating."""

import dataclasses
import errno
import fcntl
import os
import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import ErrorCode, TransientError
from processor.models import catalogue, model_files
from processor.models.model_files import ModelFiles
from processor.preparation import conversion, decision, installation, known_song, machine, prepare
from processor.preparation.decision import CoreFile, Decision, RequestedPrecision
from processor.preparation.prepare import Target
from processor.separation import device, loaded_model
from processor.separation.device import DeviceChoice
from processor.separation.loaded_model import LoadedModel
from processor.separation.runtimes import openvino_core
from processor.separation.runtimes.core import Plan
from processor.separation.streaming import NotFinite
from tests.support import audio
from tests.support.processor import random_checkpoints
from tests.support.processor.centre_model import write_centre_model
from tests.support.processor.mixes import as_mix

_RUNS, _MORE_TRIALS, _KNOWN_SONG = conversion._RUNS, prepare._MORE_TRIALS, known_song._DIRECTORY

SUFFIXES = (".xml", ".bin")

pytestmark = pytest.mark.usefixtures("one_trial")


@pytest.fixture
def files(tmp_path) -> ModelFiles:
    # Chunks of 0.7 s: the short song has several.
    return model_files.ensure(write_centre_model(tmp_path, frames_exponent=5), tmp_path, fetch=False)


def prepared(files: ModelFiles, precision: RequestedPrecision = "auto") -> tuple[Decision, list[str]]:
    steps: list[str] = []
    return installation.prepare(files, "cpu", precision, steps.append), steps


@pytest.mark.slow
def test_a_model_is_prepared_once(files, monkeypatch):
    monkeypatch.setattr(conversion, "_RUNS", _RUNS)
    monkeypatch.setattr(prepare, "_MORE_TRIALS", _MORE_TRIALS)
    monkeypatch.setattr(known_song, "_DIRECTORY", _KNOWN_SONG)
    first, steps = prepared(files)
    assert any("known song" in step for step in steps)
    assert first.times_real_time > 0
    second, steps = prepared(files)
    assert (second, steps) == (first, [])
    assert installation.kept_plan(files, device.CPU, "auto").precision == first.precision


def test_fp32_is_never_anything_else(files):
    made, _ = prepared(files, "fp32")
    assert made.precision == "fp32"
    assert installation.kept_plan(files, device.CPU, "fp32").precision == "fp32"


def test_without_a_preparation_there_is_no_plan(files):
    assert installation.kept_plan(files, device.CPU, "auto") is None


class Killed(BaseException):
    pass


def test_a_preparation_that_died_is_not_begun_again_by_itself(files):
    def report(step: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        installation.prepare(files, "cpu", "auto", report)
    made, steps = prepared(files)
    assert steps == []
    assert (made.runtime, made.precision) == ("onnxruntime", "fp32")
    assert not made.is_finished
    assert made.reason == (
        "its preparation has not ended: `python -m processor models prepare centre` prepares it again"
    )
    decision.forget(files)
    assert prepared(files)[0].times_real_time > 0


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit(143)])
def test_a_preparation_that_was_stopped_is_begun_again(files, stop):
    def report(step: str) -> None:
        raise stop

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        installation.prepare(files, "cpu", "auto", report)
    assert prepared(files)[0].is_finished


def test_so_is_one_whose_stop_a_library_took_for_an_error_of_its_own(files):
    stopped = []

    def load(*arguments):
        stopped.append(True)
        raise RuntimeError("initialization failed")

    def check_stop() -> None:
        if stopped:
            raise SystemExit(130)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaded_model, "load", load)
        with pytest.raises(SystemExit):
            installation.prepare(files, "cpu", "auto", lambda step: None, check_stop=check_stop)
    assert prepared(files)[0].is_finished


def test_two_that_prepare_at_once_decide_once(files):
    target = Target(device.CPU, machine.cpu(), "auto")
    seen: list[Decision] = []

    def meanwhile(step: str) -> None:
        # The other one holds the lock until it has decided.
        assert decision.read(files, target.machine, "auto").times_real_time is None

    seen.append(prepare.prepare(files, target, meanwhile, lambda path: None, lambda: None))
    seen.append(prepare.prepare(files, target, pytest.fail, pytest.fail, pytest.fail))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "died"])
def test_who_waits_for_a_preparation_prepares_the_model_if_it_was_stopped_and_not_if_it_died(
    files, monkeypatch, is_stopped
):
    made: list[Decision] = []
    is_waiting, flock = threading.Event(), fcntl.flock
    waiting = threading.Thread(target=lambda: made.append(prepared(files)[0]))

    def tell(file, operation: int) -> None:
        if threading.current_thread() is waiting and not operation & fcntl.LOCK_NB:
            is_waiting.set()
        flock(file, operation)

    def be_killed(step: str) -> None:
        waiting.start()
        assert is_waiting.wait(60)
        raise Killed

    monkeypatch.setattr(prepare, "_REMOVAL_S", 60 if is_stopped else 0.2)
    monkeypatch.setattr(fcntl, "flock", tell)
    begun: list[Path] = []
    with pytest.raises(Killed):
        installation.prepare(files, "cpu", "auto", be_killed, begun.append)
    if is_stopped:  # whoever has killed it then removes its marker
        decision.forget_unfinished(begun[0])
    waiting.join(120)
    assert [one.is_finished for one in made] == [is_stopped]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_openvino_separates_as_onnxruntime_does(files, precision):
    mix = audio.noise(15, peak=0.5)
    own = stems(files, None, mix)
    with_openvino = stems(files, Plan("openvino", precision, (files.path,)), mix)
    assert audio.sdr_db(own, with_openvino) > {"fp32": 60, "bf16": 30}[precision]


def stems(files: ModelFiles, plan: Plan | None, mix: np.ndarray) -> np.ndarray:
    model = loaded_model.load(files, device.CPU, plan)
    if plan:
        assert (model.runtime, model.precision) == (plan.runtime, plan.precision)
    return np.concatenate(list(model.estimate(as_mix(mix))), axis=2)[0].T


def test_a_directory_that_cannot_be_written_keeps_no_decision(files, tmp_path):
    blocker = files.directory / "prepared"
    blocker.write_text("a file in the way")
    with pytest.raises(OSError, match="prepared"):
        prepared(files)
    assert installation.kept_plan(files, device.CPU, "auto") is None


def test_what_is_left_of_a_killed_preparation_is_removed(files):
    trial = decision.directory(files) / ".trial-left"
    trial.mkdir(parents=True)
    converted = [decision.directory(files) / f"partial-7{suffix}" for suffix in (".bin", ".xml")]
    for path in converted:
        path.touch()
    prepared(files)
    assert not any(path.exists() for path in (trial, *converted))


def fail_in_bf16(monkeypatch, error: Exception) -> None:
    """Let separations in bfloat16 fail."""
    load = loaded_model.load

    def failing(files: ModelFiles, choice: DeviceChoice, plan: Plan) -> LoadedModel:
        loaded = load(files, choice, plan)
        if plan.precision == "fp32":
            return loaded

        def estimate(mix):
            raise error

        return dataclasses.replace(loaded, estimate=estimate)

    monkeypatch.setattr(prepare, "fast_precision", lambda plan, choice: "bf16")
    monkeypatch.setattr(loaded_model, "load", failing)


@pytest.mark.parametrize("error", [RuntimeError("not implemented for 'Half'"), NotFinite()])
def test_a_fast_precision_that_fails_leaves_float32(files, monkeypatch, error):
    fail_in_bf16(monkeypatch, error)
    made, _ = prepared(files)
    assert made.precision == "fp32"
    assert made.times_real_time > 0
    assert f"not bf16: {error}" in made.reason


@pytest.mark.parametrize(
    "error",
    [
        TransientError(ErrorCode.DISK_FULL, "Disk full: x"),
        TransientError(ErrorCode.OUT_OF_MEMORY, "out of memory with 1 chunks at once"),
        RuntimeError("CUDA out of memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        soundfile.LibsndfileError(2),
    ],
)
def test_a_failure_that_may_pass_says_nothing_about_the_fast_precision(files, monkeypatch, error):
    fail_in_bf16(monkeypatch, error)
    with pytest.raises(type(error)):
        prepared(files)
    assert not decision.read(files, machine.cpu(), "auto").is_finished


def test_networks_of_which_memory_holds_one_alone_are_compared_one_after_the_other(files, monkeypatch):
    load = loaded_model.load
    loaded: weakref.WeakSet[LoadedModel] = weakref.WeakSet()
    precisions: list[str] = []

    def load_one(files: ModelFiles, choice: DeviceChoice, plan: Plan) -> LoadedModel:
        if loaded:
            raise RuntimeError("CUDA out of memory")
        model = load(files, choice, plan)
        loaded.add(model)
        precisions.append(plan.precision)
        return model

    monkeypatch.setattr(prepare, "fast_precision", lambda plan, choice: "bf16")
    monkeypatch.setattr(loaded_model, "load", load_one)
    made, _ = prepared(files)
    assert made.is_finished
    assert precisions == ["fp32", "fp32", "bf16"]


def test_a_precision_that_the_device_lacks_is_told_and_float32_is_used(files):
    made, _ = prepared(files, "fp16")
    assert made.precision == "fp32"
    assert "does not compute the model in fp16" in made.reason


@pytest.mark.slow
def test_networks_of_another_openvino_are_removed_when_a_network_is_converted(tmp_path):
    name = random_checkpoints.write_mdx23c(tmp_path)
    model = model_files.ensure(name, tmp_path, fetch=False)
    directory = decision.directory(model)
    directory.mkdir(parents=True)
    others = [
        directory / f"core-0.openvino-{year}.0.0{suffix}" for year in (2025, 2099) for suffix in SUFFIXES
    ]
    for other in others:
        other.write_text("of another version")
    prepared(model, "fp32")
    assert sorted(path.suffix for path in directory.glob("core-*")) == [".bin", ".xml"]
    assert not any(other.exists() for other in others)


def test_the_stems_are_those_of_the_parameters_that_an_operator_has_changed(files):
    assert prepared(files)[0].stems == ("vocals", "instrumental")
    data = files.parameters | {"primary_stem": "Drums"}
    catalogue.replace_parameters(files.directory, catalogue.model_hash(files.path), "MDX", data)
    changed = model_files.ensure(files.name, files.directory, fetch=False)
    assert prepared(changed)[0].stems == ("drums", "no_drums")


@pytest.mark.slow
def test_a_bag_whose_network_was_trained_anew_is_converted_anew(tmp_path):
    cores = []
    for channels in (8, 16):
        size = random_checkpoints._DEMUCS_SIZE | {"channels": channels}
        name = random_checkpoints.write_demucs(tmp_path, size=size)
        bag = model_files.ensure(name, tmp_path, fetch=False)
        decision.directory(bag).mkdir(parents=True, exist_ok=True)
        cores += conversion.convert(bag, lambda step: None).core_files
    old, new = cores
    assert old.parent == new.parent
    assert old != new
    assert sorted(old.parent.glob("*.xml")) == [new]


@pytest.fixture
def convertible(tmp_path) -> ModelFiles:
    name = random_checkpoints.write_mdx23c(tmp_path)
    found = model_files.ensure(name, tmp_path, fetch=False)
    decision.directory(found).mkdir(parents=True)
    return found


def refuse(monkeypatch, error: Exception) -> None:
    """Let OpenVINO fail as it does: without a reason, and after removing what it has written."""

    def fail(source, path: Path) -> None:
        path.with_suffix(".bin").write_bytes(b"weights")
        path.with_suffix(".bin").unlink()
        raise error

    monkeypatch.setattr(openvino_core, "convert", fail)


def with_room_for(monkeypatch, room_bytes: int) -> None:
    """Let a file grow to `room_bytes` on the disk and no further."""
    allocate = os.posix_fallocate

    def allocate_on_a_small_disk(file: int, offset: int, length: int) -> None:
        if offset + length > room_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(file, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", allocate_on_a_small_disk)


def test_a_full_disk_is_no_network_that_openvino_refuses(convertible, monkeypatch):
    directory = decision.directory(convertible)
    conversion.convert(convertible, lambda step: None)
    (weights,) = directory.glob("*.bin")
    room_bytes = conversion._DESCRIPTION_BYTES + weights.stat().st_size // 2
    shutil.rmtree(directory)
    directory.mkdir()
    refuse(monkeypatch, RuntimeError("unspecified iostream_category error"))
    with_room_for(monkeypatch, room_bytes)
    with pytest.raises(TransientError, match=f"Disk full: {directory} has no room") as caught:
        conversion.convert(convertible, lambda step: None)
    assert caught.value.code == ErrorCode.DISK_FULL
    assert not list(directory.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_runs_out_is_no_network_that_openvino_refuses(convertible, monkeypatch, error):
    refuse(monkeypatch, error)
    with pytest.raises(type(error)):
        prepared(convertible, "fp32")
    assert not decision.read(convertible, machine.cpu(), "fp32").is_finished


def test_a_network_that_openvino_refuses_leaves_no_part_of_it(convertible, monkeypatch):
    refuse(monkeypatch, RuntimeError("no such operation"))
    converted = conversion.convert(convertible, lambda step: None)
    assert converted.reason == "OpenVINO refuses the networks (RuntimeError)"
    assert not list(decision.directory(convertible).iterdir())


def test_only_the_networks_of_a_damaged_plan_are_discarded(convertible):
    made = prepared(convertible, "fp32")[0]
    (network,) = decision.directory(convertible).glob("core-*.xml")
    named = CoreFile(name=network.name, sha256=decision.core_sha256(convertible, network))
    other = network.with_name("core-0.openvino-of.another.version.xml")
    other.write_text("theirs")
    conversion.discard(convertible, made.model_copy(update={"core_files": (named,)}))
    assert list(network.parent.glob("core-*")) == [other]
