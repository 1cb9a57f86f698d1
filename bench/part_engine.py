"""Compares the engine with the library's loaded `Separator`: wall time, CPU time, time beside the model."""

import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from bench.report import Row, Target, compare
from bench.separating import Measured, Separating
from bench.setup import MODEL, Bench
from bench.songs import song
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig
from processor.preparation.decision import RequestedPrecision

_READY_TIMEOUT_S = 300
_WARMING_SONG_S = 3
# The target is for songs of this length or more.
_LONG_S = 600
OTHER = "one loaded Separator"


def run(bench: Bench) -> None:
    _measure_start(bench)
    with both_sides(bench, "engine", MODEL) as sides:
        for seconds in bench.sizes.engine_songs_s:
            _compare(bench, sides, seconds)


@contextlib.contextmanager
def both_sides(bench: Bench, part: str, model: str) -> Iterator[dict[str, Separating]]:
    """Yield the engine and the library, each with the model loaded."""
    with bench.separating("engine", model) as engine, bench.separating("library", model) as loaded:
        bench.note_computed(part, model, engine.computed)
        yield {"engine": engine, "library": loaded}


def _measure_start(bench: Bench) -> None:
    """Measure the start of the engine with MODEL."""
    median_s = median_start_s(bench, MODEL, bench.model_dir)
    bench.add(Row("engine", "start until ready", "s", median_s, median_s, target=Target("at most", 6.0)))


def median_start_s(bench: Bench, model: str, model_dir: Path) -> float:
    """Return an engine's time until it is ready. The first start only warms the disk cache."""
    took_s = [_start_s(bench, model, model_dir) for _ in range(bench.sizes.repeats + 1)][1:]
    return statistics.median(took_s)


def _start_s(bench: Bench, model: str, model_dir: Path) -> float:
    precision = cast(RequestedPrecision, os.environ.get("PRECISION") or "auto")
    engine = Engine(EngineConfig(model, model_dir, bench.device, precision, fetch_model=False))
    began_s = time.monotonic()
    engine.start()
    try:
        state = engine.wait_ready(_READY_TIMEOUT_S)
        took_s = time.monotonic() - began_s
    finally:
        engine.stop()
    if not state.ok:
        raise RuntimeError(state.detail)
    return took_s


def _compare(bench: Bench, sides: dict[str, Separating], seconds: float) -> None:
    runs = in_turn(bench, sides, seconds)

    def add(what: str, name: str, target: Target | None = None, unit: str = "s", scale: float = 1) -> None:
        ours, theirs = (statistics.median(getattr(one, name) for one in runs[kind]) for kind in sides)
        bench.add(
            compare(
                "engine", f"{what}, {seconds:g} s song", unit, ours / scale, theirs / scale, OTHER, target
            )
        )

    add("wall time", "wall_s")
    # The engine may compute by another runtime and in another precision than the library; a note says which.
    add("in run calls", "run_s")
    add("beside run calls", "beside_s", Target("at most", 0.25) if seconds >= _LONG_S else None)
    add("CPU time", "cpu_s")
    add("CPU time beside run calls", "beside_cpu_s")
    add("peak RSS so far", "peak_bytes", unit="MB", scale=1e6)


def in_turn(bench: Bench, sides: dict[str, Separating], seconds: float) -> dict[str, list[Measured]]:
    """Let each side separate the same song once per round, in random order, for `repeats` rounds.

    Before that each side separates a short song: the library compiles and imports much at its first file.
    """
    source = song(bench.directory, seconds, prepared=True)
    for side in sides.values():
        side.separate(song(bench.directory, _WARMING_SONG_S, prepared=True), bench.scratch("stems"))
    found: dict[str, list[Measured]] = {kind: [] for kind in sides}
    for _ in range(bench.sizes.repeats):
        for kind in bench.shuffle.sample(list(sides), len(sides)):
            found[kind].append(sides[kind].separate(source, bench.scratch("stems")))
    return found
