"""Runs a process with one loaded model that separates files and reports the cost of each.

    python -m bench.separating engine|library MODEL_DIR MODEL cpu|cuda

`engine` is the product's streaming separation, `library` one loaded `Separator` of audio-separator. Both are
timed in the same way, and the model's own run calls apart. Takes `{"source", "target"}` as lines of JSON.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# The engine's child has settings for its memory, which are part of the engine's cost.
from processor.engine.keeper import _CHILD_ENVIRONMENT as CHILD_ENVIRONMENT
from processor.separation.device import CUDA_PROVIDER, Device

Kind = Literal["engine", "library"]
_TIMEOUT_S = 1800
SEGMENT_SIZE = 512


@dataclass(frozen=True)
class Measured:
    """The cost of one separation: `run_s` is the time of all run calls of the model.

    CPU times are those of all threads. `peak_bytes` is the peak RSS of the process since its start.
    """

    wall_s: float
    run_s: float
    runs: int
    cpu_s: float
    run_cpu_s: float
    peak_bytes: int

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
        self._answer()

    def separate(self, source: Path, target: Path) -> Measured:
        """Separate into `target` and empty it again. Raises RuntimeError when the process dies."""
        print(
            json.dumps({"source": str(source), "target": str(target)}), file=self._process.stdin, flush=True
        )
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
    argv = [sys.executable, "-m", "bench.separating", kind, str(model_dir), model, device]
    if kind == "engine":
        env = {**env, **CHILD_ENVIRONMENT}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield Separating(process)
        except RuntimeError as error:
            log.seek(0)
            raise RuntimeError(f"{error}\n{log.read()[-3000:]}") from error
        finally:
            process.kill()
            process.communicate()


class _RunClock:
    """Times every run of every ONNX session in this process."""

    def __init__(self) -> None:
        import onnxruntime

        self.reset()
        original = onnxruntime.InferenceSession.run

        def timed(session, *args, **kwargs):
            began_cpu_s, began_s = time.process_time(), time.perf_counter()
            try:
                return original(session, *args, **kwargs)
            finally:
                self.wall_s += time.perf_counter() - began_s
                self.cpu_s += time.process_time() - began_cpu_s
                self.count += 1

        onnxruntime.InferenceSession.run = timed

    def reset(self) -> None:
        self.wall_s, self.cpu_s, self.count = 0.0, 0.0, 0


def _load_engine(model_dir: Path, model: str, where: Device) -> Callable[[Path, Path], None]:
    import onnxruntime
    import torch

    torch.set_num_interop_threads(1)
    from processor.models import model_files
    from processor.separation import device, loaded_model, streaming

    choice = device.choose(where, torch.cuda.is_available(), onnxruntime.get_available_providers())
    loaded = loaded_model.load(model_files.ensure(model, model_dir, fetch=False), choice)
    device.confirm(where, loaded.placement)

    def separate(source: Path, target: Path) -> None:
        streaming.separate(loaded, source, target, "wav", lambda fraction: None, lambda: None)

    return separate


def _load_library(model_dir: Path, model: str, where: Device) -> Callable[[Path, Path], None]:
    from audio_separator.separator import Separator

    # Give all five parameters. With another segment size than the model's the library would not use ONNX.
    mdx = {"hop_length": 1024, "segment_size": SEGMENT_SIZE, "overlap": 0.25, "batch_size": 1}
    loaded = Separator(
        log_level=30,
        model_file_dir=str(model_dir),
        output_format="WAV",
        mdx_params=mdx | {"enable_denoise": False},
    )
    loaded.load_model(f"{model}.onnx")
    if where == "cuda":
        assert loaded.onnx_execution_provider == [CUDA_PROVIDER], loaded.onnx_execution_provider

    def separate(source: Path, target: Path) -> None:
        # Set both: the architecture's object has copied the directory when the model was loaded.
        loaded.output_dir = loaded.model_instance.output_dir = str(target)
        loaded.separate(str(source))

    return separate


def peak_bytes(pid: int | str = "self") -> int:
    """Return the peak RSS of a process. (ru_maxrss would include its parent's before the exec.)"""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def main(kind: Kind, model_dir: str, model: str, where: Device) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the library prints
    clock = _RunClock()
    load = _load_engine if kind == "engine" else _load_library
    separate = load(Path(model_dir), model, where)
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        job = json.loads(line)
        target = Path(job["target"])
        clock.reset()
        began_cpu_s, began_s = time.process_time(), time.perf_counter()
        separate(Path(job["source"]), target)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        written = list(target.iterdir())
        assert len(written) == 2, written
        for path in written:
            path.unlink()
        assert clock.count, "the model did not run as ONNX"
        figures = Measured(wall_s, clock.wall_s, clock.count, cpu_s, clock.cpu_s, peak_bytes())
        print(json.dumps(figures.__dict__), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
