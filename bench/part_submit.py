"""Compares `POST /generate` with the bare route of `bench.bare_route`, and times a batch of 1,000 songs.

The comparison is in acknowledged submissions a second. Both sides take turns, with the same broker, the same
number of partitions and the same clients. The figure of CPU time counts the server's process alone, and so
depends less on what else the machine does.
"""

import contextlib
import http.client
import json
import statistics
import time

import psutil

from bench.report import Row, Target, compare
from bench.setup import Bench, kafka
from bench.submissions import submissions_per_s
from common.kafka import clients, topics
from common.settings.schema import ApiSettings
from tests.support.api.api_client import SONG, basic
from tests.support.api.api_process import api_settings
from tests.support.stack import Service, Stack

_CONNECTIONS = 16
# Short turns: the machine's other load then meets both sides alike.
_ROUNDS = 3
_BATCH_SONGS = 1000
_BARE = "bare FastAPI route"


def run(bench: Bench) -> None:
    stack = Stack(bench.scratch("submit"))
    with kafka(bench) as bootstrap, contextlib.ExitStack() as ending:
        ending.callback(stack.kill_all)
        sides = {"api": stack.start("api", api_settings(bootstrap)), _BARE: _bare(stack, bootstrap)}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        cpu_ms: dict[str, list[float]] = {name: [] for name in sides}
        count = bench.sizes.submissions_in_turn
        for side in sides.values():
            submissions_per_s(side.port, count // 4, _CONNECTIONS)  # to warm both up
        for _ in range(_ROUNDS * bench.sizes.repeats):
            for name in bench.shuffle.sample(list(sides), len(sides)):
                before_s = _cpu_s(sides[name])
                rates[name].append(submissions_per_s(sides[name].port, count, _CONNECTIONS))
                cpu_ms[name].append(1000 * (_cpu_s(sides[name]) - before_s) / count)
        batches_s = [_batch_s(sides["api"].port) for _ in range(_ROUNDS * bench.sizes.repeats)]
    what = f"submissions, {_CONNECTIONS} connections"
    ours, other = (statistics.median(rates[name]) for name in ("api", _BARE))
    bench.add(compare("submit", what, "/s", ours, other, _BARE, Target("at least", 0.8)))
    ours, other = (statistics.median(cpu_ms[name]) for name in ("api", _BARE))
    bench.add(compare("submit", "CPU time of a submission", "ms", ours, other, _BARE))
    median_s, slowest_s = statistics.median(batches_s), max(batches_s)
    what = f"a batch of {_BATCH_SONGS} songs is answered after, the median"
    bench.add(Row("submit", what, "s", median_s, median_s, slowest_s, "slowest", Target("at most", 2)))


def _batch_s(port: int) -> float:
    """Return how long the answer to a batch takes. Raise RuntimeError if it is not accepted whole."""
    body = json.dumps({"items": [{**SONG, "label": f"song {n}"} for n in range(_BATCH_SONGS)]})
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
        began_s = time.monotonic()
        client.request("POST", "/batches", body, basic("admin", "password"))
        answer = client.getresponse()
        created = json.load(answer)
        took_s = time.monotonic() - began_s
        if answer.status != 200 or len(created["tasks"]) != _BATCH_SONGS:
            raise RuntimeError(f"the batch was answered with {answer.status}: {created}")
        return took_s


def _bare(stack: Stack, bootstrap: str) -> Service:
    """Start the bare route with a topic of its own that is as large as the api's."""
    settings = api_settings(bootstrap)
    parsed = ApiSettings(**{name.lower(): value for name, value in settings.items()})
    with contextlib.closing(clients.admin(parsed)) as admin:
        topics.ensure(admin, parsed)
    return stack.start("bench.bare_route", settings)


def _cpu_s(service: Service) -> float:
    times = psutil.Process(service.pid).cpu_times()
    return times.user + times.system
