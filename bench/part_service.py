"""Compares the whole service's jobs per hour with the library's command and with one loaded `Separator`.

They take turns, so that the machine's other load meets all of them alike. Between its turns the service
idles, and what the service, the broker and the store cost then slows the others.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import library
from bench.engine_spans import MEASURED_PROCESSOR, Span, spans
from bench.report import Row, Target, compare
from bench.separating import SEGMENT_SIZE, Separating
from bench.setup import MODEL, Bench, kafka, store
from bench.songs import song
from tests.support.stack import Stack
from tests.support.trio import Trio

_TIMEOUT_S = 1800
_LOADED, _COMMAND = "one loaded Separator, in a loop", "the library's command, in a loop"
# The targets are for songs of this length or more.
_LONG_S = 240


def run(bench: Bench) -> None:
    bench.note("service: engine and library with the default threads, which are one a CPU for ONNX and torch")
    with _service(bench) as service, bench.separating("library") as loaded:
        for seconds, batch in bench.sizes.service_songs.items():
            _compare(bench, service, loaded, seconds, batch)


class _Service:
    """The three services, with the record of when the engine worked."""

    def __init__(self, bench: Bench, trio: Trio, noted: Path):
        self._bench, self._trio, self._noted = bench, trio, noted

    def separate(self, source: Path, count: int) -> tuple[float, list[Span]]:
        """Submit `count` songs at once; return the seconds to the last callback and the engine's spans."""
        before = len(spans(self._noted))
        url = self._trio.song(source.read_bytes(), source.name)
        began_s = time.monotonic()
        for task_uuid in [self._trio.submit(url) for _ in range(count)]:
            body = self._trio.wait_for_callback(task_uuid, _TIMEOUT_S).json
            if body["status"] != "success":
                raise RuntimeError(f"a job of the bench failed: {body}")
            self._bench.note_computed("service", MODEL, f"{body.get('runtime')} {body.get('precision')}")
        return time.monotonic() - began_s, spans(self._noted)[before:]


@contextlib.contextmanager
def _service(bench: Bench) -> Iterator[_Service]:
    stack = Stack(bench.scratch("service"))
    noted = stack.directory / "spans"
    settings = {"MODEL_NAME": MODEL, "DEVICE": bench.device, "ENGINE_SPANS": str(noted)}
    with kafka(bench) as bootstrap, store(bench) as s3:
        trio = Trio(stack, bootstrap, s3, bench.model_dir, **settings)
        try:
            trio.start("api", MEASURED_PROCESSOR, "uploader")
            yield _Service(bench, trio, noted)
        finally:
            stack.kill_all()
            trio.close()


def _compare(bench: Bench, service: _Service, loaded: Separating, seconds: float, batch: int) -> None:
    """Let all sides take turns in random order for `repeats` rounds, after a short song to warm them."""
    source = song(bench.directory, seconds)
    env = bench.library_environment
    busy: list[float] = []

    def by_service() -> float:
        took_s, worked = service.separate(source, batch)
        busy.append(busy_share(worked))
        return took_s / batch

    sides: dict[str, Callable[[], float]] = {
        "service": by_service,
        _LOADED: lambda: loaded.separate(source, bench.scratch("stems")).wall_s,
        _COMMAND: lambda: library.run_command(
            bench.model_dir, MODEL, SEGMENT_SIZE, source, bench.scratch("stems"), env
        ),
    }
    service.separate(song(bench.directory, 3), 1)
    loaded.separate(song(bench.directory, 3), bench.scratch("stems"))
    took_s: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(bench.sizes.repeats):
        for name in bench.shuffle.sample(list(sides), len(sides)):
            took_s[name].append(sides[name]())
    hourly = {name: 3600 / statistics.median(values) for name, values in took_s.items()}
    long = seconds >= _LONG_S
    for other, limit in ((_LOADED, 1.5), (_COMMAND, 2.5)):
        target = Target("at least", limit) if long else None
        what = f"{seconds:g} s songs, {batch} waiting"
        bench.add(compare("service", what, "jobs/h", hourly["service"], hourly[other], other, target))
    share = statistics.median(busy)
    target = Target("at least", 0.95) if long else None
    bench.add(
        Row(
            "service", f"engine busy, {seconds:g} s songs waiting", "of the time", share, share, target=target
        )
    )


def busy_share(jobs: list[Span]) -> float:
    """Return the engine's working share of the time from its first song's begin to its last song's end.

    All songs were waiting before, so any time between two of them is lost.
    """
    whole_s = max(until for _, until in jobs) - min(begin for begin, _ in jobs)
    return sum(until - begin for begin, until in jobs) / whole_s
