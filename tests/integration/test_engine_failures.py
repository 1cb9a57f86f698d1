"""Whatever dies or hangs: a typed error, nothing left on disk or running, and the next job works."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import Cancelled, CrashError, ErrorCode, TransientError
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig
from tests.support import audio
from tests.support.paths import REPOSITORY
from tests.support.processes import is_running
from tests.support.processor.models import centre_directory, copy
from tests.support.waiting import wait_for

START_TIMEOUT_S = 120


def no_check() -> None:
    pass


def no_progress(fraction: float) -> None:
    pass


def config(**changes) -> EngineConfig:
    values = {"model_name": "centre", "model_dir": centre_directory(), "device": "cpu"}
    return EngineConfig(**(values | changes))


@pytest.fixture
def start() -> Iterator[Callable[[EngineConfig], Engine]]:
    engines = []

    def start(config: EngineConfig) -> Engine:
        engines.append(Engine(config))
        engines[-1].start()
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop()


@pytest.fixture
def ready(start) -> Callable[[EngineConfig], Engine]:
    def ready(config: EngineConfig) -> Engine:
        engine = start(config)
        state = engine.wait_ready(START_TIMEOUT_S)
        assert state.ok, state.detail
        return engine

    return ready


@pytest.fixture
def target(tmp_path) -> Path:
    directory = tmp_path / "stems"
    directory.mkdir()
    return directory


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    return audio.write(tmp_path_factory.mktemp("songs") / "long.wav", audio.long_noise(120))


@pytest.fixture(scope="module")
def longest(tmp_path_factory) -> Path:
    return audio.write(tmp_path_factory.mktemp("songs") / "longest.wav", audio.long_noise(600))


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    return audio.write(tmp_path_factory.mktemp("songs") / "short.wav", audio.noise(1))


def signal_once(engine: Engine, number: int) -> Callable[[float], None]:
    """A progress callback that signals the engine's process when it is at work."""
    sent = []

    def on_progress(fraction: float) -> None:
        if not sent:
            sent.append(engine.pid)
            os.kill(engine.pid, number)

    return on_progress


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_that_dies_is_a_crash_and_is_replaced(ready, long, short, target, number):
    engine = ready(config())
    before = engine.pid
    with pytest.raises(CrashError, match=number.name) as caught:
        engine.separate(long, target, no_check, signal_once(engine, number))
    assert caught.value.code == ErrorCode.ENGINE_CRASHED
    assert not list(target.iterdir())
    assert engine.separate(short, target, no_check, no_progress).stems
    assert engine.pid != before


def kills(struck: list[bool]) -> Callable[[], int]:
    """A count of the kernel's kills for want of memory, which rises when the test appends to `struck`."""
    return lambda: len(struck)


def test_a_child_that_the_kernel_kills_for_want_of_memory_says_so(long, short, target):
    struck: list[bool] = []
    engine = Engine(config(), count_oom_kills=kills(struck))
    engine.start()
    assert engine.wait_ready(START_TIMEOUT_S).ok
    kill = signal_once(engine, signal.SIGKILL)

    def on_progress(fraction: float) -> None:
        struck.append(True)
        kill(fraction)

    try:
        with pytest.raises(TransientError, match="Memory ran out") as caught:
            engine.separate(long, target, no_check, on_progress)
        assert caught.value.code == ErrorCode.OUT_OF_MEMORY
        assert not list(target.iterdir())
        assert engine.separate(short, target, no_check, no_progress).stems
    finally:
        engine.stop()


@pytest.mark.slow
def test_the_engine_is_the_first_that_the_kernel_takes(ready):
    score = Path(f"/proc/{ready(config()).pid}/oom_score_adj").read_text()
    assert (score.strip(), Path("/proc/self/oom_score_adj").read_text().strip()) == ("1000", "0")


@pytest.mark.slow
def test_a_child_that_hangs_is_killed_on_cancel(ready, long, target):
    engine = ready(config())
    before, hang = engine.pid, signal_once(engine, signal.SIGSTOP)
    hanging = []

    def on_progress(fraction: float) -> None:
        hang(fraction)
        hanging.append(True)

    def check() -> None:
        if hanging:
            raise Cancelled

    with pytest.raises(Cancelled):
        engine.separate(long, target, check, on_progress)
    assert not is_running(before)
    assert not list(target.iterdir())


@pytest.mark.slow
def test_a_job_past_its_deadline_is_a_timeout(ready, long, target):
    engine = ready(config(job_timeout_s=1))
    with pytest.raises(TransientError) as caught:
        engine.separate(long, target, no_check, signal_once(engine, signal.SIGSTOP))
    assert caught.value.code == ErrorCode.ENGINE_TIMEOUT
    assert not list(target.iterdir())


@pytest.mark.slow
def test_memory_that_runs_out_is_told_apart_from_a_crash(ready, long, short, target):
    engine = ready(config())
    used = int(Path(f"/proc/{engine.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(engine.pid, resource.RLIMIT_AS, (used + (8 << 20), used + (8 << 20)))
    with pytest.raises(TransientError) as caught:
        engine.separate(long, target, no_check, no_progress)
    assert caught.value.code == ErrorCode.OUT_OF_MEMORY
    assert not list(target.iterdir())
    assert engine.separate(short, target, no_check, no_progress).stems


@pytest.mark.slow
def test_a_child_is_recycled_between_jobs(ready, short, tmp_path):
    engine = ready(config(max_jobs=2))
    pids = []
    for number in range(5):
        target = tmp_path / str(number)
        target.mkdir()
        engine.wait_ready(START_TIMEOUT_S)
        pids.append(engine.pid)
        engine.separate(short, target, no_check, no_progress)
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
    assert not is_running(pids[0])


def test_a_stopped_engine_leaves_no_process(ready):
    engine = ready(config())
    pid = engine.pid
    engine.stop()
    assert not is_running(pid)
    assert not engine.state().ok


def test_a_job_after_the_stop_is_refused(ready, short, target):
    engine = ready(config())
    engine.stop()
    with pytest.raises(TransientError) as caught:
        engine.separate(short, target, no_check, no_progress)
    assert caught.value.code == ErrorCode.ENGINE_UNAVAILABLE


def test_a_missing_model_is_named_and_taken_once_it_is_there(start, tmp_path):
    models = tmp_path / "models"
    engine = start(config(model_dir=models, fetch_model=False))
    wait_for(lambda: "model centre is not in" in engine.state().detail, START_TIMEOUT_S, "reason")
    copy(centre_directory(), models)
    assert engine.wait_ready(START_TIMEOUT_S).ok


def test_a_damaged_model_is_named_and_never_loaded(start, tmp_path):
    models = copy(centre_directory(), tmp_path / "models")
    (models / "centre.onnx").write_bytes((models / "centre.onnx").read_bytes()[:5000])
    engine = start(config(model_dir=models))
    wait_for(lambda: "centre.onnx" in engine.state().detail, START_TIMEOUT_S, "reason")
    assert not engine.state().ok


def test_a_demanded_gpu_that_is_not_there_is_said(start, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    engine = start(config(device="cuda"))
    wait_for(lambda: "DEVICE=cuda" in engine.state().detail, START_TIMEOUT_S, "reason")
    assert not engine.state().ok


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["starting", "ready", "separating"])
def test_no_child_outlives_its_parent(longest, target, moment):
    command = [
        sys.executable,
        "-m",
        "tests.support.processor.engine_host",
        centre_directory(),
        longest,
        target,
    ]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as host:
        pid = int(host.stdout.readline())
        while moment != "starting" and host.stdout.readline().strip() != moment:
            assert host.poll() is None
        assert is_running(pid)
        host.kill()
    wait_for(lambda: not is_running(pid), 30, "end of the engine's process")


def preparing(start, models: Path) -> tuple[Engine, Path]:
    """Returns an engine while it prepares its model, and the decision that says so."""
    copy(centre_directory(), models)
    engine = start(config(model_dir=models))
    kept = wait_for(
        lambda: next(iter(models.glob("prepared/centre.*/*.json")), None), START_TIMEOUT_S, "a preparation"
    )
    return engine, kept


@pytest.mark.slow
def test_a_preparation_that_a_stop_has_ended_is_begun_again(start, ready, tmp_path):
    engine, kept = preparing(start, tmp_path / "models")
    engine.stop()
    assert not kept.exists()
    ready(config(model_dir=tmp_path / "models"))
    assert "times_real_time" in kept.read_text()


def test_a_preparation_that_was_killed_is_not_begun_again_and_each_start_says_so(
    start, ready, tmp_path, caplog
):
    engine, kept = preparing(start, tmp_path / "models")
    os.kill(engine.pid, signal.SIGKILL)
    assert engine.wait_ready(START_TIMEOUT_S).ok
    engine.stop()
    ready(config(model_dir=tmp_path / "models"))
    assert "times_real_time" not in kept.read_text()
    warned = [record.getMessage() for record in caplog.records if "may be slow" in record.getMessage()]
    assert len(warned) == 2
    assert all("`python -m processor models prepare centre`" in text for text in warned)
