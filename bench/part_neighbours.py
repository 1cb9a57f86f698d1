"""Measures how a user's song is delayed while another user's receivers hang and his downloads drip."""

import contextlib
import statistics
import time

from bench.report import Row, Target
from bench.setup import Bench, store
from tests.support.servers import KafkaServer
from tests.support.stack import Stack
from tests.support.town import PROCESSOR, SECOND, Town
from tests.support.waiting import wait_for

_HANGING, _DRIPPING = 60, 10
_SONGS = 5
_PATIENCE_S = 60


def run(bench: Bench) -> None:
    stack = Stack(bench.scratch("neighbours"))
    broker = KafkaServer(bench.scratch("neighbours-kafka"))
    with store(bench) as s3, contextlib.ExitStack() as ending:
        ending.callback(broker.kill)
        broker.start()
        ending.callback(stack.kill_all)
        town = Town(stack, broker.bootstrap, s3, bench.model_dir, bench.scratch("town"))
        ending.callback(town.close)
        town.trio.start("api", PROCESSOR, "uploader")
        _song_s(town)  # the first song waits for connections
        alone_s = [_song_s(town) for _ in range(_SONGS)]
        town.wait_for_hanging(town.hang(_HANGING))
        # Start both at once: the services do not know yet that these hosts are slow.
        town.drip(_DRIPPING)
        beside_s = [_song_s(town) for _ in range(_SONGS)]
        hanging = len(town.hanging.requests())
    bench.note(f"of {_HANGING} callbacks {hanging} hung at once, and none ended while the songs were done")
    bench.add(
        Row(
            "neighbours", "a short song alone, to its callback", "s", statistics.median(alone_s), max(alone_s)
        )
    )
    what = f"beside {_HANGING} hanging receivers and {_DRIPPING} dripping songs, longer than alone"
    longer_s = max(beside_s) - statistics.median(alone_s)
    bench.add(Row("neighbours", what, "s", longer_s, longer_s, target=Target("at most", 2)))


def _song_s(town: Town) -> float:
    """Return the seconds from the submission of the second user's song to its callback."""
    began_s = time.monotonic()
    task_uuid = town.trio.submit(town.trio.song(town.song), headers=SECOND)
    wait_for(lambda: town.trio.callbacks(task_uuid), _PATIENCE_S, "the callback")
    return time.monotonic() - began_s
