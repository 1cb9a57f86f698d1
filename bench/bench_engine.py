"""Prints a table of the engine's memory and speed.

    python bench/bench_engine.py [--model centre|spleeter-2stems|tiny_vr|NAME] [--minutes 10 60]
        [--models DIR]

`tiny_vr`, `tiny_demucs`, `tiny_mdx23c` and `tiny_bs_roformer` are small random networks of the other
architectures. Each length gets a new engine. RSS and peak are the child's (MB = 10⁶ bytes). Times depend on
the machine's load.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from processor.audio.wav import SAMPLE_RATE, WavWriter
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig
from tests.support.processor import centre_model, random_checkpoints


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=centre_model.NAME)
    parser.add_argument("--models", type=Path, help="model directory (default: a temporary one)")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60])
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--format", default="wav", choices=("wav", "flac", "mp3"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        model_dir = options.models or Path(directory) / "models"
        if options.model == centre_model.NAME:
            centre_model.write_centre_model(model_dir)
        elif options.model in random_checkpoints.WRITERS:
            model_dir.mkdir(exist_ok=True)
            random_checkpoints.WRITERS[options.model](model_dir)
        print("model            device minutes   ready     wall   speed       RSS      peak")
        for minutes in options.minutes:
            _measure(options, model_dir, Path(directory), minutes)


def _measure(options: argparse.Namespace, model_dir: Path, directory: Path, minutes: float) -> None:
    source = directory / "mix.wav"
    _write_song(source, minutes)
    target = directory / "stems"
    target.mkdir(exist_ok=True)
    config = EngineConfig(options.model, model_dir, options.device, output_format=options.format)
    engine = Engine(config)
    began = time.monotonic()
    engine.start()
    state = engine.wait_ready(600)
    if not state.ok:
        sys.exit(state.detail)
    ready_s = time.monotonic() - began
    loaded = _memory_mb(engine.pid, "VmRSS")
    began = time.monotonic()
    result = engine.separate(source, target, lambda: None, lambda fraction: None)
    wall_s = time.monotonic() - began
    peak = _memory_mb(engine.pid, "VmHWM")
    engine.stop()
    print(
        f"{result.model:16} {result.device:6} {minutes:7g} {ready_s:5.1f} s {wall_s:6.1f} s "
        f"{minutes * 60 / wall_s:5.1f} x {loaded:6.0f} MB {peak:6.0f} MB",
        flush=True,
    )


def _write_song(path: Path, minutes: float) -> None:
    """Write noise with a tone in the centre, minute by minute."""
    generator = np.random.default_rng(0)
    with WavWriter(path, "float32") as writer:
        for _ in range(max(1, round(minutes))):
            frames = round(min(1.0, minutes) * 60 * SAMPLE_RATE)
            tone = 0.3 * np.sin(2 * np.pi * 440 / SAMPLE_RATE * np.arange(frames))[:, None]
            writer.write((generator.uniform(-0.3, 0.3, (frames, 2)) + tone).astype(np.float32))


def _memory_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(field)


if __name__ == "__main__":
    main()
