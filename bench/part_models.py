"""Measures the engine room: songs per hour with one model, with two in turn, and with more than stay warm."""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator, Sequence

from bench.report import Row, Target, compare
from bench.setup import MODEL, Bench
from bench.songs import song
from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig
from processor.engine.room import EngineRoom

_READY_TIMEOUT_S = 300
_SONG_S = 30
_WARM = 2
_SLOTS = 2


class CountingRoom(EngineRoom):
    """Counts how often a model was loaded, the default one at the start included."""

    loads = 0

    def make_engine(self, config: EngineConfig) -> Engine:
        self.loads += 1
        return super().make_engine(config)


def run(bench: Bench) -> None:
    count = 8 if bench.sizes.is_quick else 40
    models = _copies(bench, 4)
    with _room(bench, models) as room:
        _separate(bench, room, models[:_WARM])  # loads both, and does not count
        one = _songs_per_hour(bench, room, models[:1] * count)
        two = _songs_per_hour(bench, room, [models[index % 2] for index in range(count)])
        target = Target("at least", 0.8)
        bench.add(compare("models", "two models in turn", "songs/h", two, one, "one model", target))
        loaded = room.loads
        four = _songs_per_hour(bench, room, [models[index % 4] for index in range(count)])
        bench.add(compare("models", f"four models, {_WARM} warm", "songs/h", four, one, "one model"))
        loads = float(room.loads - loaded)
        bench.add(Row("models", f"loads for {count} songs of four models", "", loads, loads))


def _copies(bench: Bench, count: int) -> list[str]:
    """Put the same model under `count` names into a directory of its own; return the names."""
    directory = bench.directory / "room-models"
    shutil.copytree(bench.model_dir, directory)
    names = [f"copy-{number}" for number in range(count)]
    for name in names:
        shutil.copy(directory / f"{MODEL}.onnx", directory / f"{name}.onnx")
    return names


@contextlib.contextmanager
def _room(bench: Bench, models: Sequence[str]) -> Iterator[CountingRoom]:
    config = EngineConfig(
        models[0],
        bench.directory / "room-models",
        bench.device,
        fetch_model=False,
        more_models=tuple(models[1:]),
        warm_models=_WARM,
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


def _songs_per_hour(bench: Bench, room: EngineRoom, models: Sequence[str]) -> float:
    """Separate a song with each of `models`, two at once as a processor has them; return the throughput."""
    began_s = time.monotonic()
    threads = [
        threading.Thread(target=_separate, args=(bench, room, models[slot::_SLOTS])) for slot in range(_SLOTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 3600 * len(models) / (time.monotonic() - began_s)


def _separate(bench: Bench, room: EngineRoom, models: Sequence[str]) -> None:
    source = song(bench.directory, _SONG_S, prepared=True)
    for model in models:
        target = bench.scratch("stems")
        room.separate(source, target, lambda: None, lambda fraction: None, model)
        shutil.rmtree(target)
