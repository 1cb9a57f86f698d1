"""Measures peak RSS by the song's length, in a new process each: the engine's child and the library."""

from pathlib import Path

from bench.report import Row, Target, compare
from bench.separating import peak_bytes
from bench.setup import MODEL, Bench
from bench.songs import song
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig

_READY_TIMEOUT_S = 300
_MB = 1e6


def run(bench: Bench) -> None:
    ours: dict[float, float] = {}
    for seconds in bench.sizes.memory_s:
        source = song(bench.directory, seconds, prepared=True)
        ours[seconds] = engine_peak_mb(bench, "memory", MODEL, bench.model_dir, source)
        theirs = None
        if seconds in bench.sizes.library_memory_s:
            theirs = _library_peak_mb(bench, source)
        name = f"peak RSS, {seconds / 60:g} min"
        figure = ours[seconds] if theirs is None else ours[seconds] / theirs
        other_name = "" if theirs is None else "one loaded Separator"
        bench.add(Row("memory", name, "MB", ours[seconds], figure, theirs, other_name))
        source.unlink()
    add_growth(bench, "memory", "peak RSS", ours)


def engine_peak_mb(bench: Bench, part: str, model: str, model_dir: Path, source: Path) -> float:
    """Return the peak RSS in MB of a new engine's child after one song."""
    engine = Engine(EngineConfig(model, model_dir, bench.device, fetch_model=False))
    engine.start()
    try:
        state = engine.wait_ready(_READY_TIMEOUT_S)
        if not state.ok:
            raise RuntimeError(state.detail)
        made = engine.separate(source, bench.scratch("stems"), lambda: None, lambda fraction: None)
        peak = peak_bytes(engine.pid)
    finally:
        engine.stop()
    bench.note_computed(part, model, f"{made.computed.runtime} {made.computed.precision}")
    for stem in made.stems.values():
        stem.path.unlink()
    return peak / _MB


def add_growth(bench: Bench, part: str, what: str, peaks_mb: dict[float, float]) -> None:
    """Compare the longest song's peak with the next shorter song's; `peaks_mb` is by the song's seconds."""
    *_, long, longest = sorted(peaks_mb)
    bench.add(
        compare(
            part,
            f"{what}, {longest / 60:g} min",
            "MB",
            peaks_mb[longest],
            peaks_mb[long],
            f"ours, {long / 60:g} min",
            Target("at most", 1.1),
        )
    )


def _library_peak_mb(bench: Bench, source: Path) -> float:
    with bench.separating("library") as separator:
        return separator.separate(source, bench.scratch("stems")).peak_bytes / _MB
