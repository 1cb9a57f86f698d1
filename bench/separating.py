"""Runs a process with one loaded model that separates files and reports the cost of each.

    python -m bench.separating engine|library MODEL_DIR MODEL cpu|cuda

`engine` is the product's streaming separation, `library` one loaded `Separator` of audio-separator with its
default parameters. Both are timed in the same way, and the model's own run calls apart. Takes
`{"source", "target", "profile"}` as lines of JSON; `profile` asks for the times of the other stages too.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

# The engine's child has settings for its memory, which are part of the engine's cost.
from processor.engine.starter import CHILD_ENVIRONMENT
from processor.separation.device import CUDA_PROVIDER, Device

if TYPE_CHECKING:
    from bench.stopwatch import Stopwatch
    from processor.preparation.decision import RequestedPrecision

Kind = Literal["engine", "library"]
Separate = Callable[[Path, Path], None]
_TIMEOUT_S = 1800
SEGMENT_SIZE = 512


@dataclass(frozen=True)
class Measured:
    """The cost of one separation: `run_s` is the time of all run calls of the model.

    `cpu_s` is the CPU time of all threads, and `run_cpu_s` that of the run calls as RunCpu counts it.
    `peak_bytes` is the peak RSS of the process since its start. `stages` has the seconds of each stage where
    a profile was asked for; then `run_s` leaves out transforms.
    """

    wall_s: float
    run_s: float
    runs: int
    cpu_s: float
    run_cpu_s: float
    peak_bytes: int
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def beside_s(self) -> float:
        return self.wall_s - self.run_s

    @property
    def beside_cpu_s(self) -> float:
        return self.cpu_s - self.run_cpu_s


class Separating:
    """A running process of this module, seen from the bench."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process
        self.computed: str = self._answer()["computed"]
        """How the networks are computed: runtime and precision."""

    def separate(self, source: Path, target: Path, profile: bool = False) -> Measured:
        """Separate into `target` and empty it again. Raises RuntimeError when the process dies.

        All separations after one with `profile` time the stages, at a small cost.
        """
        job = {"source": str(source), "target": str(target), "profile": profile}
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return Measured(**self._answer())

    def _answer(self) -> dict:
        watchdog = threading.Timer(_TIMEOUT_S, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


@contextlib.contextmanager
def separating(
    kind: Kind, model_dir: Path, model: str, env: Mapping[str, str], device: Device
) -> Iterator[Separating]:
    """Start a process and wait until its model is loaded. Its output goes to a file."""
    if kind == "engine":
        env = {**env, **CHILD_ENVIRONMENT}
    with tempfile.TemporaryFile("w+") as log:
        process = _start([kind, str(model_dir), model, device], env, log)
        try:
            yield Separating(process)
        except RuntimeError as error:
            log.seek(0)
            raise RuntimeError(f"{error}\n{log.read()[-3000:]}") from error
        finally:
            process.kill()
            process.communicate()


def _start(arguments: Sequence[str], env: Mapping[str, str], log: IO[str]) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "bench.separating", *arguments]
    return subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
    )


def _load_engine(model_dir: Path, model: str, where: Device) -> tuple[Separate, str]:
    from processor.models import model_files
    from processor.preparation import installation
    from processor.separation import device, loaded_model, streaming

    files = model_files.ensure(model, model_dir, fetch=False)
    choice = installation.choose_device(files, where)
    # As a service would install the model: on a GPU, and for MDX, that takes seconds. On a CPU other networks
    # are converted for minutes, so there it counts if it was done before.
    precision = cast("RequestedPrecision", os.environ.get("PRECISION") or "auto")
    if where == "cuda" or files.architecture == "MDX":
        # In a process of its own, whose memory is not the engine's.
        fetch = [sys.executable, "-m", "processor", "models", "fetch", model, "--dir", str(model_dir)]
        subprocess.run([*fetch, "--device", where, "--precision", precision], check=True)
    plan = installation.kept_plan(files, choice, precision)
    if loaded_model.uses_torch(files, choice, plan):
        import torch

        torch.set_num_interop_threads(1)
    loaded = loaded_model.load(files, choice, plan)
    device.confirm(where, loaded.placement)

    def separate(source: Path, target: Path) -> None:
        streaming.separate(loaded, source, target, "wav", lambda fraction: None, lambda: None)

    return separate, f"{loaded.runtime} {loaded.precision}"


def _load_library(model_dir: Path, model: str, where: Device) -> tuple[Separate, str]:
    from audio_separator.separator import Separator

    from processor.models import model_files
    from processor.separation.architectures import diffq_stand_in

    diffq_stand_in.install()
    files = model_files.ensure(model, model_dir, fetch=False)
    # All other parameters are the library's defaults.
    parameters: dict[str, dict] = {}
    if files.architecture == "MDX":
        # Give all five parameters. With another segment size than the model's the library would not use ONNX.
        segment_size = 2 ** files.parameters["mdx_dim_t_set"]
        mdx = {"hop_length": 1024, "segment_size": segment_size, "overlap": 0.25, "batch_size": 1}
        parameters["mdx_params"] = mdx | {"enable_denoise": False}
    loaded = Separator(log_level=30, model_file_dir=str(model_dir), output_format="WAV", **parameters)
    loaded.load_model(files.path.name)
    if where == "cuda":
        assert loaded.onnx_execution_provider == [CUDA_PROVIDER], loaded.onnx_execution_provider
        assert loaded.torch_device.type == "cuda", loaded.torch_device

    def separate(source: Path, target: Path) -> None:
        # Set both: the architecture's object has copied the directory when the model was loaded.
        loaded.output_dir = loaded.model_instance.output_dir = str(target)
        loaded.separate(str(source))

    return separate, "the library's defaults"


def peak_bytes(pid: int | str = "self") -> int:
    """Return the peak RSS of a process. (ru_maxrss would include its parent's before the exec.)"""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def main(kind: Kind, model_dir: str, model: str, where: Device) -> None:
    # Imported after the settings of the environment are in force.
    from bench.stopwatch import Stopwatch

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the library prints
    stopwatch = Stopwatch(where == "cuda")
    load = _load_engine if kind == "engine" else _load_library
    separate, computed = load(Path(model_dir), model, where)
    print(json.dumps({"computed": computed}), file=answers)
    for line in sys.stdin:
        job = json.loads(line)
        figures = _measured(stopwatch, separate, Path(job["source"]), Path(job["target"]), job["profile"])
        print(json.dumps(figures.__dict__), file=answers)


def _measured(
    stopwatch: "Stopwatch", separate: Separate, source: Path, target: Path, profile: bool
) -> Measured:
    stopwatch.wrap_runs()
    stopwatch.reset()
    with stopwatch.all_stages() if profile else contextlib.nullcontext():
        began_cpu_s, began_s = time.process_time(), time.perf_counter()
        separate(source, target)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    written = list(target.iterdir())
    assert len(written) >= 2, written
    for path in written:
        path.unlink()
    assert stopwatch.runs, "no run of the model was seen"
    stages = stopwatch.stages if profile else {}
    return Measured(wall_s, stopwatch.run_s, stopwatch.runs, cpu_s, stopwatch.run_cpu_s, peak_bytes(), stages)


if __name__ == "__main__":
    main(*sys.argv[1:])
