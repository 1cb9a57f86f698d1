"""Measures how soon the services work again after a broker outage, and how much they log during it."""

import contextlib
import time

from bench.engine_spans import MEASURED_PROCESSOR
from bench.report import Row, Target
from bench.setup import Bench, store
from bench.songs import song
from tests.support.servers import KafkaServer
from tests.support.stack import Stack
from tests.support.trio import Trio
from tests.support.waiting import wait_for

_JOBS = 60
_FLOWING = 5
_PATIENCE_S = 300
# 15 s: by then running jobs have ended, and each connection and time-out (of 10 s) has logged its end.
_CALM_AFTER_S = 15


def run(bench: Bench) -> None:
    stack = Stack(bench.scratch("outage"))
    broker = KafkaServer(bench.scratch("kafka"))
    with store(bench) as s3, contextlib.ExitStack() as ending:
        ending.callback(broker.kill)
        broker.start()
        ending.callback(stack.kill_all)
        trio = Trio(stack, broker.bootstrap, s3, bench.model_dir, ENGINE_SLEEP_S="0.5")
        ending.callback(trio.close)
        trio.start("api", MEASURED_PROCESSOR, "uploader", ENGINE_SPANS=str(stack.directory / "spans"))
        recovered_s, lines = [], []
        for _ in range(bench.sizes.repeats):
            found = _outage(bench, broker, trio)
            recovered_s.append(found[0])
            lines.append(found[1])
    worst_s, most = max(recovered_s), max(lines)
    away = f"broker away for {_CALM_AFTER_S + bench.sizes.outage_s:g} s under load"
    bench.add(
        Row("outage", f"{away}, all at work again", "s", worst_s, worst_s, target=Target("at most", 30))
    )
    bench.add(
        Row(
            "outage",
            f"lines a minute in one service's log, after {_CALM_AFTER_S} s",
            "",
            most,
            most,
            target=Target("at most", 5),
        )
    )


def _outage(bench: Bench, broker: KafkaServer, trio: Trio) -> tuple[float, float]:
    """Return the seconds to recovery, and the most lines that a service logged per minute of the outage.

    Recovery is the time from the broker's return until a new job is taken and a waiting job has ended.
    """
    url = trio.song(song(bench.directory, 1).read_bytes())
    tasks = [trio.submit(url) for _ in range(_JOBS)]
    wait_for(lambda: _ended(trio, tasks) >= _FLOWING, _PATIENCE_S, "jobs that flow")
    broker.kill()
    time.sleep(_CALM_AFTER_S)
    before = _lines(trio)
    time.sleep(bench.sizes.outage_s)
    logged = {name: count - before[name] for name, count in _lines(trio).items()}
    broker.start()
    began_s, ended = time.monotonic(), _ended(trio, tasks)
    for service in trio.services.values():
        service.wait_ready(_PATIENCE_S)
    tasks.append(trio.submit(url))
    wait_for(lambda: _ended(trio, tasks) > ended, _PATIENCE_S, "a job that was waiting")
    took_s = time.monotonic() - began_s
    wait_for(lambda: _ended(trio, tasks) == len(tasks), _PATIENCE_S, "the other jobs")
    return took_s, 60 * max(logged.values()) / bench.sizes.outage_s


def _ended(trio: Trio, tasks: list[str]) -> int:
    return len({callback.json["task_uuid"] for callback in trio.all_callbacks()} & set(tasks))


def _lines(trio: Trio) -> dict[str, int]:
    return {name: service.log().count("\n") for name, service in trio.services.items()}
