"""Is this worker still in its group, and does the group do what it should? What no client says by itself."""

import logging
from collections.abc import Callable

from common.kafka.fencing import Fenced
from common.kafka.guarded_consumer import GuardedConsumer

log = logging.getLogger(__name__)

_FENCED_AFTER_S = 3.0
_JOIN_TIMEOUT_S = 60.0
_UNOWNED_AFTER_S = 5.0


class Membership:
    """Looked at after every poll. Rows: KAFKA_CONSUMER.md."""

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """A new consumer has begun to join."""
        self._last_heartbeat_s = self._last_stable_s = self._last_shared_out_s = self._clock()

    def watch(self, consumer: GuardedConsumer) -> str | None:
        """Why the consumer has to be replaced, if it has. Raises Fenced."""
        now = self._clock()
        if not consumer.is_silently_fenced():
            self._last_heartbeat_s = now
        elif now - self._last_heartbeat_s > _FENCED_AFTER_S:
            return self.fenced(consumer)
        if not consumer.is_joining():
            self._last_stable_s = now
        elif now - self._last_stable_s > _JOIN_TIMEOUT_S:
            return f"not in the group for {_JOIN_TIMEOUT_S:.0f} s"
        self._see_that_all_have_owners(consumer, now)
        return None

    def fenced(self, consumer: GuardedConsumer) -> str:
        """Why the consumer has to be replaced. Raises Fenced when another worker has our id for certain."""
        if not consumer.may_be_forgotten():
            raise Fenced(Fenced.__doc__)
        # If there is another one after all, it is fenced by our join and stops.
        return "the broker may have forgotten this member"

    def _see_that_all_have_owners(self, consumer: GuardedConsumer, now: float) -> None:
        if consumer.follows_its_former_self():
            # Row 20: nobody leads until we ask again; what nobody owns would stay so.
            consumer.rejoin()
        elif consumer.is_joining() or not consumer.withholds_partitions():
            self._last_shared_out_s = now
        elif now - self._last_shared_out_s > _UNOWNED_AFTER_S:
            # Row 19: whoever gave partitions up asks for the assignment that gives them away; that got lost.
            log.warning("rebalance: partitions without an owner, asking for another assignment")
            consumer.rejoin()
            self._last_shared_out_s = now
