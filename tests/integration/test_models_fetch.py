"""Models of every architecture come whole or not at all, whoever fetches them; damaged ones are refused."""

import itertools
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig
from processor.engine.starter import CHILD_ENVIRONMENT
from processor.models import catalogue, model_files
from processor.models.model_files import ModelUnavailable, ensure
from processor.separation import device, loaded_model
from tests.support.forked_command import ForkedReader, run_forked
from tests.support.paths import REPOSITORY
from tests.support.processor.centre_model import write_centre_model
from tests.support.processor.models import copy, random_directory
from tests.support.waiting import wait_for

# One for all that is started, so that one template imports torch.
ENVIRONMENT = os.environ | CHILD_ENVIRONMENT
NAMES = ("tiny_vr", "tiny_mdx23c", "tiny_bs_roformer", "tiny_demucs", "tiny_bag")


@pytest.fixture(scope="module")
def hub() -> Path:
    """A directory with every file that the hub would serve."""
    return random_directory()


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "models"


def fetching(name: str, target: Path, hub: Path) -> ForkedReader:
    return ForkedReader(
        "tests.support.processor.fetching",
        *(name, str(target), str(hub)),
        environment=ENVIRONMENT,
        preloaded=["audio_separator.separator.separator"],
    )


def fetched(name: str, target: Path, hub: Path) -> model_files.ModelFiles:
    code, output = fetching(name, target, hub).end()
    assert code == 0, output
    return ensure(name, target, fetch=False)


def copied(target: Path) -> Path:
    """What an operator puts into the model directory: files without our records."""
    return copy(random_directory(), target)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_with_all_its_files_loads_and_is_refused_once_one_of_them_changed(hub, target, name):
    files = fetched(name, target, hub)
    for path in (files.path, *files.parts):
        assert path.read_bytes() == (hub / path.name).read_bytes()
        assert path.with_name(path.name + ".sha256").exists()
    assert not list(target.glob(".fetch-*"))
    assert loaded_model.load(files, device.CPU).stems
    assert ensure(files.path.name, target, fetch=False).path == files.path  # with its extension
    for path, damage in itertools.product((files.path, *files.parts), (damage_end, truncate)):
        whole = path.read_bytes()
        damage(path)
        with pytest.raises(ModelUnavailable, match=f"{path.name}.* damaged or was changed"):
            ensure(name, target, fetch=False)
        path.write_bytes(whole)
    ensure(name, target, fetch=False)


@pytest.mark.slow
def test_two_processes_that_fetch_at_once_do_no_harm(hub, target):
    both = [fetching("tiny_bag", target, hub) for _ in range(2)]
    outputs = [process.end() for process in both]
    assert [code for code, _ in outputs] == [0, 0], outputs
    assert sorted("tiny_bag.yaml" in output for _, output in outputs) == [False, True]
    assert loaded_model.load(ensure("tiny_bag", target, fetch=False), device.CPU).stems


@pytest.mark.slow
def test_a_fetch_that_was_killed_leaves_nothing_that_is_taken_for_a_model(hub, target):
    fetch = fetching("tiny_mdx23c", target, hub)
    while fetch.output.readline() != "tiny_mdx23c.ckpt\n":
        assert fetch.process.poll() is None
    fetch.process.kill()
    fetch.end()
    with pytest.raises(ModelUnavailable, match="fetch"):
        ensure("tiny_mdx23c", target, fetch=False)
    fetched("tiny_mdx23c", target, hub)
    assert not list(target.glob(".fetch-*"))


def damage_end(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("name", ["tiny_vr", "tiny_mdx23c", "tiny_bs_roformer", "tiny_demucs"])
def test_a_truncated_model_without_a_record_does_not_load_either(target, name):
    path = checkpoint(ensure(name, copied(target), fetch=False))
    truncate(path)
    with pytest.raises(ModelUnavailable, match=name if path.suffix != ".th" else path.name):
        loaded_model.load(ensure(name, target, fetch=False), device.CPU)


def checkpoint(files: model_files.ModelFiles) -> Path:
    return next(p for p in (files.path, *files.parts) if p.suffix in (".pth", ".ckpt", ".th"))


class Trap:
    """What unpickling runs."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["tiny_vr", "tiny_mdx23c", "tiny_bs_roformer", "tiny_demucs"])
def test_a_swapped_checkpoint_never_runs(target, tmp_path, name):
    sprung = tmp_path / "sprung"
    path = checkpoint(ensure(name, copied(target), fetch=False))
    torch.save({"state": Trap(sprung)}, path)
    with pytest.raises(ModelUnavailable):
        loaded_model.load(ensure(name, target, fetch=False), device.CPU)
    assert not sprung.exists()
    # The trap would have worked.
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()


def test_a_checkpoint_that_runs_code_needs_its_digest_in_its_name_or_a_record(target):
    files = ensure("tiny_demucs", copied(target), fetch=False)
    plain = target / f"{files.parts[0].stem.partition('-')[0]}.th"
    files.parts[0].rename(plain)
    lists = (target / catalogue.LISTS).read_text()
    (target / catalogue.LISTS).write_text(lists.replace(files.parts[0].name, plain.name))
    with pytest.raises(ModelUnavailable, match=f"{plain.name} is not loaded"):
        ensure("tiny_demucs", target, fetch=False)
    plain.with_name(plain.name + ".sha256").write_text(model_files._sha256(plain))
    assert loaded_model.load(ensure("tiny_demucs", target, fetch=False), device.CPU).stems


def test_files_of_others_in_the_directory_do_not_disturb(target):
    copied(target)
    (target / "some-other-file.th").write_bytes(b"not a checkpoint")
    (target / "broken.yaml").write_text("{")
    assert loaded_model.load(ensure("tiny_demucs", target, fetch=False), device.CPU).stems


@pytest.fixture
def engine(target) -> Iterator[Engine]:
    engine = Engine(EngineConfig("tiny_mdx23c", target, device="cpu", fetch_model=False))
    yield engine
    engine.stop()


def test_an_engine_whose_model_is_damaged_is_not_ready_and_says_which(target, engine):
    truncate(copied(target) / "tiny_mdx23c.ckpt")
    engine.start()
    while engine.state().detail in ("starting", "not started"):
        engine.wait_ready(0.1)
    assert not engine.state().ok
    assert "tiny_mdx23c" in engine.state().detail


def test_a_file_that_no_list_names_is_told_apart_from_a_missing_one(target):
    (copied(target) / catalogue.LISTS).unlink()
    with pytest.raises(ModelUnavailable, match=f"tiny_mdx23c.* but {catalogue.LISTS} does not list"):
        ensure("tiny_mdx23c", target, fetch=False)


def command(*arguments: str, directory: Path) -> subprocess.CompletedProcess:
    environment = {"MODEL_FILE_DIR": str(directory), "HTTPS_PROXY": "http://127.0.0.1:1", **ENVIRONMENT}
    # What `add` imports in a function: torch.
    preloaded = ["processor.preparation.prepare"]
    return run_forked("processor", "models", *arguments, environment=environment, preloaded=preloaded)


@pytest.mark.slow
def test_list_tells_the_catalogue_and_what_is_here(target):
    done = command("list", directory=copied(target))
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert rows["tiny_vr"][:2] == ["VR", "yes"]
    assert rows["tiny_demucs"][:2] == ["Demucs", "yes"]
    assert rows["spleeter-2stems"][:2] == ["MDX", "-"]
    assert rows["htdemucs_ft"][:2] == ["Demucs", "-"]
    assert rows["UVR-MDX-NET-Inst_HQ_5"][:2] == ["MDX", "-"]
    here = command("list", "--here", directory=target).stdout
    assert "htdemucs_ft" not in here
    assert "tiny_bag" in here


@pytest.mark.slow
def test_check_names_what_is_damaged(target):
    whole = command("check", directory=copied(target))
    assert whole.returncode == 0, whole.stdout
    assert all(f"{name}." in whole.stdout for name in NAMES)
    part = ensure("tiny_demucs", target, fetch=False).parts[0]
    truncate(part)
    broken = command("check", directory=target)
    assert broken.returncode == 1
    damaged = [line for line in broken.stdout.splitlines() if ": ok" not in line]
    assert len(damaged) == 1
    assert part.name in damaged[0]
    assert command("check", "tiny_vr", directory=target).returncode == 0
    (target / "tiny_mdx23c.yaml").unlink()
    assert "tiny_mdx23c.yaml missing" in command("check", directory=target).stdout


@pytest.mark.slow
def test_a_file_of_an_operator_is_added_and_prepared_or_leaves_nothing(target, tmp_path):
    files = copied(tmp_path / "files")
    config = ("--config", str(files / "tiny_bs_roformer.yaml"))
    added = command("add", str(files / "tiny_bs_roformer.ckpt"), *config, "--name", "own", directory=target)
    assert added.returncode == 0, added.stderr
    assert "x real time" in added.stdout
    listed = command("list", "--here", directory=target).stdout
    assert [line.split()[:3] for line in listed.splitlines()[1:]] == [["own", "MDXC", "yes"]]
    (files / "empty.ckpt").write_bytes(pickle.dumps({}))
    refused = command("add", str(files / "empty.ckpt"), *config, directory=target)
    assert refused.returncode == 1
    assert "empty.ckpt cannot be loaded" in refused.stderr
    assert not list(target.rglob("empty*"))
    assert "empty" not in (target / catalogue.LISTS).read_text()
    (files / "tiny_bs_roformer.ckpt").rename(files / "empty.ckpt")
    again = command("add", str(files / "empty.ckpt"), *config, directory=target)
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_stopped_while_it_prepares_leaves_the_preparation_to_the_next(
    tmp_path, number, code
):
    name = write_centre_model(tmp_path)
    fetch = [sys.executable, "-m", "processor", "models", "fetch", name, "--dir", str(tmp_path)]
    environment = os.environ | {"DEVICE": "cpu"}
    process = subprocess.Popen(
        fetch,
        cwd=REPOSITORY,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # Background jobs of a shell ignore SIGINT, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    kept = wait_for(
        lambda: next(iter(tmp_path.glob(f"prepared/{name}.*/*.json")), None), 120, "a preparation"
    )
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert not kept.exists()
