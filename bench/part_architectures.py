"""Compares speed and memory with audio-separator's for each architecture, and measures how memory grows.

Speed is measured with random networks of the real size, each side in turn, with the library's default
parameters. A profile of the engine says where the time goes. How memory grows with the song's length is
measured with small networks: memory that grows is not in the networks.
"""

import statistics
import time
import traceback
from pathlib import Path

from bench.architectures import ARCHITECTURES, Architecture, Song
from bench.part_engine import OTHER, median_start_s
from bench.part_memory import add_growth, engine_peak_mb
from bench.report import Profile, Row, compare
from bench.separating import Measured, Separating
from bench.setup import Bench
from bench.songs import song
from processor.audio.prepare import AudioLimits, prepare
from processor.models import model_files
from tests.support.processor import real_checkpoints
from tests.support.processor.random_checkpoints import WRITERS

_PART = "architectures"
_MB = 1e6
_GPU_SONG_S = 60
_GPU_WARMING_SONG_S = 20
_DECODING = "decode, resample"


def run(bench: Bench) -> None:
    for name in bench.architectures or ARCHITECTURES:
        try:
            _compare(bench, name)
        except Exception as error:  # noqa: BLE001 (the other architectures' figures took long)
            traceback.print_exc()
            bench.fail(f"{name} failed: {type(error).__name__}: {error}")
    if not bench.architectures:
        _measure_growth(bench)


def _compare(bench: Bench, name: str) -> None:
    architecture = ARCHITECTURES[name]
    chosen = _song(bench, architecture)
    model_dir, model = _model(bench, name)
    catalogue_name = real_checkpoints.REAL[name].catalogue_name
    with (
        bench.separating("engine", model, model_dir) as engine,
        bench.separating("library", model, model_dir) as library,
    ):
        bench.note_computed(_PART, catalogue_name, engine.computed)
        sides = {"engine": engine, "library": library}
        runs = _in_turn(bench, sides, chosen)
    _add_speed(bench, catalogue_name, architecture, chosen, runs)
    _add_start(bench, catalogue_name, model, model_dir)
    _add_memory(bench, catalogue_name, _weights_bytes(model_dir, model), runs)
    stages = {_DECODING: _decoding_s(bench, chosen), **runs["engine"][-1].stages}
    bench.profiles.append(Profile(_PART, f"{catalogue_name}, {chosen.seconds:g} s", stages))


def _song(bench: Bench, architecture: Architecture) -> Song:
    if bench.device == "cuda":
        # Short songs would show how long a GPU's libraries take to load.
        return Song(_GPU_SONG_S, architecture.song.step_s)
    return architecture.quick_song if bench.sizes.is_quick else architecture.song


def _model(bench: Bench, name: str) -> tuple[Path, str]:
    """Return the directory and the name of the random network; write it where it is not kept yet."""
    model_dir = bench.real_model_dir or bench.directory / "real-models"
    model = f"real_{name}"
    entry = model_files.find(model, model_dir) if model_dir.exists() else None
    if entry is None or not model_files.is_here(entry, model_dir):
        real_checkpoints.write(model_dir, name)
    return model_dir, model


def _in_turn(bench: Bench, sides: dict[str, Separating], chosen: Song) -> dict[str, list[Measured]]:
    """Let each side separate the song once per round, in random order. The last round is profiled.

    Nothing warms up the sides on a CPU: that would take as long, and the median of three leaves out a slow
    first one. On a GPU each side separates a shorter song before, which loads kernels.
    """
    source = song(bench.directory, chosen.seconds, prepared=True)
    if bench.device == "cuda":
        for side in sides.values():
            side.separate(song(bench.directory, _GPU_WARMING_SONG_S, prepared=True), bench.scratch("stems"))
    found: dict[str, list[Measured]] = {kind: [] for kind in sides}
    for number in range(bench.sizes.repeats):
        for kind in bench.shuffle.sample(list(sides), len(sides)):
            profile = number == bench.sizes.repeats - 1
            found[kind].append(sides[kind].separate(source, bench.scratch("stems"), profile))
    return found


def _add_speed(
    bench: Bench, name: str, architecture: Architecture, chosen: Song, runs: dict[str, list[Measured]]
) -> None:
    def add(what: str, ours: float, theirs: float, unit: str) -> None:
        bench.add(compare(_PART, f"{name}: {what}", unit, ours, theirs, OTHER))

    wall_s = {kind: statistics.median(one.wall_s for one in runs[kind]) for kind in runs}
    of_run_s = {kind: statistics.median(one.run_s / one.runs for one in runs[kind]) for kind in runs}
    add(
        f"wall time per second of {chosen.seconds:g} s",
        wall_s["engine"] / chosen.seconds,
        wall_s["library"] / chosen.seconds,
        "s/s",
    )
    cpu_s = {kind: statistics.median(one.cpu_s for one in runs[kind]) for kind in runs}
    add("CPU time per second", cpu_s["engine"] / chosen.seconds, cpu_s["library"] / chosen.seconds, "s/s")
    long = {
        kind: wall_s[kind] / runs[kind][0].runs * architecture.runs_per_s(kind == "library", chosen)
        for kind in runs
    }
    add("wall time per second of a long song, by runs", long["engine"], long["library"], "s/s")
    add("one run of the network", of_run_s["engine"], of_run_s["library"], "s")
    add("runs of the network", runs["engine"][0].runs, runs["library"][0].runs, "runs")


def _add_start(bench: Bench, name: str, model: str, model_dir: Path) -> None:
    took_s = median_start_s(bench, model, model_dir)
    bench.add(Row(_PART, f"{name}: start until ready", "s", took_s, took_s))


def _add_memory(bench: Bench, name: str, weights_bytes: int, runs: dict[str, list[Measured]]) -> None:
    ours, theirs = (max(one.peak_bytes for one in runs[kind]) / _MB for kind in ("engine", "library"))
    weights = weights_bytes / _MB
    what = f"{name}: peak RSS beside weights of {weights:.0f} MB"
    bench.add(compare(_PART, what, "MB", ours - weights, theirs - weights, OTHER))


def _weights_bytes(model_dir: Path, model: str) -> int:
    files = model_files.ensure(model, model_dir, fetch=False)
    return sum(path.stat().st_size for path in (files.path, *files.parts))


def _decoding_s(bench: Bench, chosen: Song) -> float:
    """Return the time in which the service turns a FLAC file into the mix that the engine gets."""
    target = bench.scratch("mix") / "mix.wav"
    began = time.monotonic()
    prepare(song(bench.directory, chosen.seconds), target, AudioLimits(3600, 2), lambda: None)
    return time.monotonic() - began


def _measure_growth(bench: Bench) -> None:
    model_dir = bench.scratch("random-models")
    for write in WRITERS.values():
        model = write(model_dir)
        peaks_mb = {
            seconds: engine_peak_mb(
                bench, _PART, model, model_dir, song(bench.directory, seconds, prepared=True)
            )
            for seconds in bench.sizes.architecture_memory_s
        }
        add_growth(bench, _PART, f"peak RSS, {model}", peaks_mb)
