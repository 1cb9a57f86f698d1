"""Two workers, of which one goes: how long until the jobs of every partition are begun again."""

import re
import time
from collections.abc import Callable

from common.kafka import retry_topics
from common.kafka.lanes import PRIORITIES
from tests.support.common.kafka.group import Lab
from tests.support.common.worker.sleepers import Sleepers, job
from tests.support.stack import Service, Stack
from tests.support.waiting import wait_for

PARTITIONS = 12
DELAYS_S = (30, 300, 3600)
SESSION_S = 6.0


class Takeover:
    """A group with the default topics: 12 partitions of each lane, and as many of each delay."""

    def __init__(self, bootstrap: str, stack: Stack):
        self.lab = Lab(bootstrap, PARTITIONS, DELAYS_S)
        self.sleepers = Sleepers(stack, self.lab)

    def pair(self) -> tuple[Service, Service]:
        """Two workers that have shared the partitions out between them."""
        workers = self.start("w0"), self.start("w1")
        self.wait_until_shared(*workers)
        return workers

    def start(self, worker_id: str) -> Service:
        """Returns once the worker is ready."""
        return self.sleepers.start(
            worker_id, PROCESSOR_SLOTS=str(PARTITIONS), KAFKA_SESSION_TIMEOUT_MS=str(int(1000 * SESSION_S))
        )

    def measure(self, event: Callable[[], object]) -> float:
        """Seconds from `event` until one new job of each partition of the tasks has begun."""
        before = len(self.sleepers.starts())
        began_s = time.time()
        event()
        self.lab.feed(job(number, 0) for number in range(PARTITIONS))
        starts = self.sleepers.wait_for_starts(before + PARTITIONS)
        return max(start["at_ms"] for start in starts[before:]) / 1000 - began_s

    def wait_until_shared(self, *workers: Service) -> None:
        """Each of the workers has as many partitions as the others."""
        topics = len(PRIORITIES) + len(retry_topics.with_brief(DELAYS_S))
        each = PARTITIONS * topics // len(workers)
        wait_for(lambda: all(_partitions(w) == each for w in workers), 60, "shared partitions")


def _partitions(worker: Service) -> int:
    """How many it says that it has, once it is ready."""
    answer = worker.get("/readyz")
    if answer is None or answer[0] != 200:
        return 0
    said = answer[1]["checks"]["kafka"]["detail"].partition("partitions")[2].rpartition(",")[0]
    runs = re.findall(r" (\d+)(?:-(\d+))?(?= |,|$)", said)
    return sum(int(last or first) - int(first) + 1 for first, last in runs)
