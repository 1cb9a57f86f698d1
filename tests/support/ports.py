"""Gives each test process ports of its own, so that two tests never start servers on the same one.

A test takes a port seconds before its server listens there, and a killed server leaves its port free until
its next start. A port that is only free at the moment may thus be another test's.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence

from local.ports import is_free

# Above the ports that the services have by default, and below those from which local.ports takes. Browsers
# refuse none of them.
_FIRST, _PER_PROCESS, _PROCESSES = 11_000, 500, 8


def own_ports(worker: str | None) -> list[int]:
    """Returns the ports of a pytest-xdist worker, such as "gw0"; for None, those of the process without one.

    Only workers whose numbers differ by a multiple of 7 have the same.
    """
    process = 0 if worker is None else 1 + int(worker.removeprefix("gw")) % (_PROCESSES - 1)
    first = _FIRST + process * _PER_PROCESS
    # The second processor of a local stack listens 10 above the first.
    return [port for port in range(first, first + _PER_PROCESS) if port % 20 < 10]


def in_turn(ports: Sequence[int], free: Callable[[int], bool] = is_free) -> Iterator[int]:
    """Yields the free ones of the ports again and again; each comes back only after all of the others.

    The order is random: another run of the tests on this machine begins elsewhere.
    """
    order = random.sample(ports, len(ports))
    while True:
        yield from filter(free, order)


_taken = in_turn(own_ports(os.environ.get("PYTEST_XDIST_WORKER")))


def take_ports(count: int) -> list[int]:
    """Returns `count` distinct ports of this process that were free a moment ago."""
    return [next(_taken) for _ in range(count)]


def take_port() -> int:
    """Returns a port of this process that was free a moment ago."""
    return next(_taken)
