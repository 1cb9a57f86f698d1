"""Measures what choices cost: models in turn against one model, and an ensemble against its models alone."""

import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from bench.report import Row, Target, compare
from bench.setup import MODEL, Bench
from bench.songs import song
from common.tasks.messages.choices import Choices, Output
from processor.audio.prepare import PreparedAudio, PreparedSource
from processor.audio.wav import SAMPLE_RATE
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig
from processor.engine.room import EngineRoom
from processor.presets.maker import Maker
from processor.presets.recipe import Recipes

_READY_TIMEOUT_S = 600
_SLOTS = 2
_WARMING_SONG_S = 3
_SAMPLE_EVERY_S = 0.1
_MB = 1e6


class CountingRoom(EngineRoom):
    """The product's engine room, which counts how often a model is loaded."""

    loads = 0

    def make_engine(self, config: EngineConfig) -> Engine:
        self.loads += 1
        return super().make_engine(config)


def run(bench: Bench) -> None:
    models = [MODEL, *_copies(bench.model_dir, 3)]
    _compare_turns(bench, models)
    _compare_ensemble(bench, models[:3])


def _copies(model_dir: Path, count: int) -> list[str]:
    """Put the model into its directory under further names, and return these."""
    names = [f"copy-{number}" for number in range(1, count + 1)]
    for name in names:
        shutil.copy(model_dir / f"{MODEL}.onnx", model_dir / f"{name}.onnx")
    return names


@contextmanager
def _ready_room(bench: Bench, models: Sequence[str], warm_models: int) -> Iterator[CountingRoom]:
    # Without `fetch_model` nothing is prepared, so all copies are computed in the same way.
    config = EngineConfig(
        models[0],
        bench.model_dir,
        bench.device,
        fetch_model=False,
        more_models=tuple(models[1:]),
        warm_models=warm_models,
    )
    room = CountingRoom(config)
    room.start()
    try:
        state = room.wait_ready(_READY_TIMEOUT_S)
        if not state.ok:
            raise RuntimeError(state.detail)
        yield room
    finally:
        room.stop()


def _compare_turns(bench: Bench, models: Sequence[str]) -> None:
    """Compare models in turn with the same songs model after model; two models are kept warm."""
    with _ready_room(bench, models, 2) as room:
        for chosen in (models[:2], models):
            _compare_orders(bench, room, chosen)


def _compare_orders(bench: Bench, room: CountingRoom, models: Sequence[str]) -> None:
    source = song(bench.directory, 30, prepared=True)
    count = bench.sizes.choices_songs
    in_turn = [models[number % len(models)] for number in range(count)]
    orders = {"in turn": in_turn, "model after model": sorted(in_turn, key=models.index)}
    took_s: dict[str, list[float]] = {name: [] for name in orders}
    loads: dict[str, list[int]] = {name: [] for name in orders}
    for _ in range(bench.sizes.repeats):
        for name in bench.shuffle.sample(list(orders), len(orders)):
            _separate_all(bench, room, source, models[:2])  # so that both orders begin warm
            before = room.loads
            took_s[name].append(_separate_all(bench, room, source, orders[name]))
            loads[name].append(room.loads - before)
    ours, theirs = (3600 * count / statistics.median(took_s[name]) for name in orders)
    what = f"{count} songs of 30 s, {len(models)} models in turn, 2 warm"
    target = Target("at least", 0.8) if len(models) == 2 else None
    bench.add(compare("choices", what, "songs/h", ours, theirs, "model after model", target))
    for name, counts in loads.items():
        bench.note(f"choices: {len(models)} models {name}: {statistics.median(counts):g} loads")


def _separate_all(bench: Bench, room: EngineRoom, source: Path, models: Sequence[str]) -> float:
    """Separate the song by each model, `_SLOTS` at once as a processor does; return the seconds."""

    def separate(model: str) -> None:
        done = room.separate(source, bench.scratch("stems"), lambda: None, lambda fraction: None, model)
        for stem in done.stems.values():
            stem.path.unlink()

    began_s = time.monotonic()
    with ThreadPoolExecutor(_SLOTS) as slots:
        list(slots.map(separate, models))
    return time.monotonic() - began_s


def _compare_ensemble(bench: Bench, models: Sequence[str]) -> None:
    """Compare an ensemble's time and memory with those of its models one after another.

    One model is kept warm, so that the memory is that of one. Memory is that of all processes. Both sides
    take turns in random order for `repeats` rounds with the short song, and for one round with the long one.
    """
    alone = [Choices(model=model, output=Output(bit_depth=24)) for model in models]
    together = Choices(models=tuple(models), ensemble="avg_fft", output=Output(bit_depth=24))
    short_s, long_s = bench.sizes.ensemble_s
    peaks_mb: dict[tuple[str, float], float] = {}
    with _ready_room(bench, models, 1) as room:
        maker = Maker(room, Recipes(models, {}), "wav")
        short = _prepared(song(bench.directory, _WARMING_SONG_S, prepared=True), _WARMING_SONG_S)
        for seconds, rounds in ((short_s, bench.sizes.repeats), (long_s, 1)):
            mix = _prepared(song(bench.directory, seconds, prepared=True), seconds)
            make = partial(_make, bench, maker, mix)
            # Both sides begin with the first model warm.
            warm_up = partial(_make, bench, maker, short, alone[:1])
            warm_up()
            # Measured before any ensemble, whose memory this process may keep.
            _, peaks_mb["one", seconds] = _measured(partial(make, alone[:1]))
            found = ensemble_turns(bench, make, warm_up, alone, together, rounds)
            peaks_mb["three", seconds] = max(found.together_mb)
            ours, theirs = statistics.median(found.together_s), statistics.median(found.alone_s)
            what = f"ensemble of three, {seconds:g} s song"
            other, target = "its models one after another", Target("at most", 1.05)
            bench.add(compare("choices", what, "s", ours, theirs, other, target))
    for (name, seconds), peak_mb in peaks_mb.items():
        bench.add(Row("choices", f"peak RSS of {name}, {seconds:g} s song", "MB", peak_mb, peak_mb))
    three, target = peaks_mb["three", long_s], Target("at most", 1.1)
    growth = compare(
        "choices", "peak RSS of three", "MB", three, peaks_mb["three", short_s], "short song", target
    )
    bench.add(growth)
    more_mb = three - peaks_mb["one", long_s]
    bench.add(Row("choices", "three above one", "MB", more_mb, more_mb, target=Target("at most", 200)))


@dataclass
class _Turns:
    """The seconds of each turn, and the ensemble's peaks in MB."""

    together_s: list[float] = field(default_factory=list)
    alone_s: list[float] = field(default_factory=list)
    together_mb: list[float] = field(default_factory=list)


def ensemble_turns(
    bench: Bench,
    make: Callable[[Sequence[Choices]], None],
    warm_up: Callable[[], None],
    alone: Sequence[Choices],
    together: Choices,
    rounds: int,
) -> _Turns:
    """Let the ensemble and its models one after another take turns in random order."""
    found = _Turns()

    def by_ensemble() -> None:
        took_s, peak_mb = _measured(partial(make, [together]))
        found.together_s.append(took_s)
        found.together_mb.append(peak_mb)

    def one_after_another() -> None:
        took_s, _ = _measured(partial(make, alone))
        found.alone_s.append(took_s)

    for _ in range(rounds):
        for side in bench.shuffle.sample((by_ensemble, one_after_another), 2):
            warm_up()
            side()
    return found


def _prepared(path: Path, seconds: float) -> PreparedAudio:
    frames = round(seconds * SAMPLE_RATE)
    source = PreparedSource(path, SAMPLE_RATE, frames)
    return PreparedAudio(path, frames, seconds, 1.0, "pcm_f32le", "wav", SAMPLE_RATE, 2, source)


def _make(bench: Bench, maker: Maker, mix: PreparedAudio, songs: Sequence[Choices]) -> None:
    for choices in songs:
        made = maker.make(
            maker.plan(choices), mix, bench.scratch("work"), lambda: None, lambda fraction: None
        )
        for stem in made.stems.values():
            stem.path.unlink()


def _measured(work: Callable[[], None]) -> tuple[float, float]:
    """Return how long the work took in seconds, and the peak of this process tree's RSS in MB."""
    peak, over = 0.0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not over.wait(_SAMPLE_EVERY_S):
            peak = max(peak, _tree_mb())

    sampler = threading.Thread(target=sample)
    sampler.start()
    began_s = time.monotonic()
    try:
        work()
    finally:
        took_s = time.monotonic() - began_s
        over.set()
        sampler.join()
    return took_s, peak


def _tree_mb() -> float:
    total = 0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # it has just ended
            continue
    return total / _MB
