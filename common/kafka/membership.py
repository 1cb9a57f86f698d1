"""Watches whether a consumer is still in its group, and whether the group does what it should.

The client reports neither by itself. "row N" is the fault's number in KAFKA_CONSUMER.md.
"""

import logging
from collections.abc import Callable

from common.kafka.fencing import Fenced
from common.kafka.guarded_consumer import GuardedConsumer

log = logging.getLogger(__name__)

_FENCED_AFTER_S = 3.0
_JOIN_TIMEOUT_S = 60.0
_UNOWNED_AFTER_S = 5.0


class ConsumerLost(Exception):
    """This consumer cannot go on: close it and build a new one. The text says why."""


class Membership:
    """Checks one consumer after each poll. Only the thread that polls may use it."""

    def __init__(self, client: GuardedConsumer, clock: Callable[[], float]):
        """`client` is about to join its group."""
        self._client, self._clock = client, clock
        self._last_heartbeat_s = self._last_stable_s = self._last_shared_out_s = clock()

    def check(self) -> None:
        """Raise Fenced if another worker has our id, and ConsumerLost if the consumer must be replaced."""
        now = self._clock()
        if not self._client.is_silently_fenced():
            self._last_heartbeat_s = now
        elif now - self._last_heartbeat_s > _FENCED_AFTER_S:
            raise self.fenced()
        if not self._client.is_joining():
            self._last_stable_s = now
        elif now - self._last_stable_s > _JOIN_TIMEOUT_S:
            raise ConsumerLost(f"not in the group for {_JOIN_TIMEOUT_S:.0f} s")
        self._see_that_all_have_owners(now)

    def fenced(self) -> Fenced | ConsumerLost:
        """Return what a fenced member must raise: Fenced only if another worker has our id for certain."""
        if not self._client.may_be_forgotten():
            return Fenced(Fenced.__doc__)
        # If there is another worker after all, our join fences that worker, and it stops.
        return ConsumerLost("the broker may have forgotten this member")

    def _see_that_all_have_owners(self, now: float) -> None:
        if self._client.follows_its_former_self():
            # Row 20: nobody leads until we ask again, and a partition without an owner would stay without.
            self._client.rejoin()
        elif self._client.is_joining() or not self._client.withholds_partitions():
            self._last_shared_out_s = now
        elif now - self._last_shared_out_s > _UNOWNED_AFTER_S:
            # Row 19: the member that gave partitions up asks for the assignment that gives them away. That
            # request was lost.
            log.warning("rebalance: partitions without an owner, asking for another assignment")
            self._client.rejoin()
            self._last_shared_out_s = now
