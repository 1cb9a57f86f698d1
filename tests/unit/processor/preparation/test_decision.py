"""A kept decision counts on its own device, for its own runtimes and files, and nothing else."""

from pathlib import Path

import pytest

from processor.models import catalogue, model_files
from processor.models.model_files import ModelFiles
from processor.preparation import decision, machine
from processor.preparation.decision import CoreFile, Decision
from processor.preparation.machine import Machine
from processor.separation.runtimes.core import Plan
from tests.support.processor.centre_model import write_centre_model

HERE = Machine("2 cores of a test", "cpu-here")


@pytest.fixture
def files(tmp_path) -> ModelFiles:
    return model_files.ensure(write_centre_model(tmp_path), tmp_path, fetch=False)


def made(files: ModelFiles, **changes: object) -> Decision:
    values = {
        "model": files.name,
        "device": "cpu",
        "machine": HERE.name,
        "made_with": decision.versions(),
        "rest_sha256": files.rest_sha256,
        "runtime": "openvino",
        "precision": "bf16",
        "reason": "a test",
        "core_files": (CoreFile(name=files.path.name, sha256=decision.core_sha256(files, files.path)),),
        "times_real_time": 7.5,
    }
    return Decision.model_validate(values | changes)


def test_a_decision_is_found_again_and_becomes_a_plan(files):
    decision.write(files, HERE, "auto", made(files))
    kept = decision.read(files, HERE, "auto")
    assert kept == made(files)
    assert decision.plan(files, kept) == Plan("openvino", "bf16", (files.path,))
    assert decision.newest_of(files.directory, files.path.name) == kept


def test_another_device_and_another_precision_have_decisions_of_their_own(files):
    decision.write(files, HERE, "auto", made(files))
    assert decision.read(files, Machine(HERE.name, "cpu-there"), "auto") is None
    assert decision.read(files, HERE, "fp32") is None


def test_other_versions_decide_anew(files):
    decision.write(files, HERE, "auto", made(files, made_with="openvino 1.0"))
    assert decision.read(files, HERE, "auto") is None
    assert decision.newest(files) is None
    assert decision.newest_of(files.directory, files.path.name) is None


def test_the_newest_decision_is_of_no_model_that_had_the_name_before(files):
    decision.write(files, HERE, "auto", made(files))
    model_files.record(files.path).write_text("0" * 64 + "\n")
    assert decision.newest_of(files.directory, files.path.name) is None
    model_files.record(files.path).write_text(files.sha256 + "\n")
    assert decision.newest_of(files.directory, files.path.name) == made(files)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[]", b'{"model": 1}'])
def test_a_damaged_decision_is_none(files, text):
    decision.write(files, HERE, "auto", made(files))
    (path,) = decision.directory(files).glob("*.json")
    path.write_bytes(text)
    assert decision.read(files, HERE, "auto") is None
    assert decision.newest_of(files.directory, files.path.name) is None


def test_a_plan_with_a_missing_or_changed_file_is_none(files):
    core = decision.directory(files) / "core-0.xml"
    core.parent.mkdir(parents=True)
    core.write_text("<net/>")
    core.with_suffix(".bin").write_bytes(b"weights")
    kept = made(files, core_files=(CoreFile(name=core.name, sha256=decision.core_sha256(files, core)),))
    assert decision.plan(files, kept) == Plan("openvino", "bf16", (core,))
    core.with_suffix(".bin").write_bytes(b"weightS")
    assert decision.plan(files, kept) is None
    core.unlink()
    assert decision.plan(files, kept) is None


def test_a_model_of_the_same_name_and_other_bytes_has_no_decision(files, tmp_path):
    decision.write(files, HERE, "auto", made(files))
    other = tmp_path / "other"
    name = write_centre_model(other, "louder", compensate=2.0)
    changed = model_files.ensure(name, other, fetch=False)
    assert decision.read(changed, HERE, "auto") is None


def test_the_newest_decision_is_of_no_model_whose_name_only_begins_alike(files):
    write_centre_model(files.directory, f"{files.name}.v2")
    other = model_files.ensure(f"{files.name}.v2", files.directory, fetch=False)
    decision.write(other, HERE, "auto", made(other))
    assert decision.newest_of(files.directory, files.path.name) is None
    assert decision.newest_of(files.directory, other.path.name) == made(other)


def test_other_parameters_decide_anew(files):
    decision.write(files, HERE, "auto", made(files))
    data = files.parameters | {"primary_stem": "Drums"}
    catalogue.replace_parameters(files.directory, catalogue.model_hash(files.path), "MDX", data)
    changed = model_files.ensure(files.name, files.directory, fetch=False)
    for found in (decision.read(changed, HERE, "auto"), decision.newest(changed)):
        assert found is None
    for found in (decision.read(files, HERE, "auto"), decision.newest(files)):
        assert found == made(files)


def cpuinfo(path: Path, model: str, flags: str) -> Path:
    path.write_text(f"processor\t: 0\nmodel name\t: {model}\nflags\t\t: fpu {flags}\n")
    return path


def test_a_cpu_is_told_apart_by_its_name_its_instructions_and_its_cores(tmp_path):
    plain = cpuinfo(tmp_path / "plain", "A", "avx2")
    fast = cpuinfo(tmp_path / "fast", "A", "avx2 amx_bf16")
    other = cpuinfo(tmp_path / "other", "B", "avx2")
    keys = {machine.cpu(plain, 2).key, machine.cpu(fast, 2).key, machine.cpu(other, 2).key}
    assert len(keys | {machine.cpu(plain, 4).key}) == 4
    assert machine.cpu(plain, 2) == machine.cpu(plain, 2)
    assert machine.cpu(plain, 2).name == "2 cores of A"
