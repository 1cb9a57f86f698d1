"""Counts open connections, in all and from each address, and chooses which connection makes room for another.

A connection that waits for its client makes room for a new one. Clients that do not read their answers go
first, idle ones second; among equals, the client goes that has waited longest. Thus neither clients that
never read nor idle clients keep others out.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from api.limiter import bucket_of
from api.metrics import Ended, Limit
from common.observability.repeats import Repeats

log = logging.getLogger(__name__)


# The address of a client, as the socket module gives it.
Peer = tuple[Any, ...]
_SETTINGS = {Limit.ALL: "MAX_CONNECTIONS", Limit.ADDRESS: "MAX_CONNECTIONS_PER_ADDRESS"}


def _nothing_yet() -> None:
    """Do nothing: there is no transport to end."""


class Place:
    """The place of one open connection. `cut` ends the connection, once it has been set up.

    A place that no longer `counts` has lost its connection: the code that sets it up must then end it.
    """

    def __init__(self, address: str):
        self.address = address
        self.cut: Callable[[], None] = _nothing_yet
        self.counts = True


class _Waiting:
    """Places whose connections wait for their clients. The first place makes room first.

    A connection is in debt while its client does not take an answer.
    """

    def __init__(self) -> None:
        self._in_debt: OrderedDict[Place, None] = OrderedDict()
        self._idle: OrderedDict[Place, None] = OrderedDict()

    def add(self, place: Place, is_in_debt: bool) -> None:
        (self._in_debt if is_in_debt else self._idle)[place] = None

    def remove(self, place: Place) -> None:
        self._in_debt.pop(place, None)
        self._idle.pop(place, None)

    @property
    def first(self) -> Place | None:
        return next(iter(self._in_debt or self._idle), None)

    def __bool__(self) -> bool:
        return bool(self._in_debt or self._idle)


class Connections:
    """Counts connections, in one event loop at a time.

    Connections from addresses for which `is_proxy` returns True are not counted by address.
    """

    def __init__(
        self,
        most: int,
        most_of_address: int,
        is_proxy: Callable[[str], bool] = lambda _: False,
        ended: Callable[[Ended, Limit], None] = lambda how, limit: None,
    ):
        """`ended` is called for each connection that a limit or its stalled client has ended."""
        self.most, self._most_of_address, self._is_proxy, self._ended = most, most_of_address, is_proxy, ended
        self._places: dict[object, Place] = {}
        self._all = 0
        self._by_address: Counter[str] = Counter()
        self._waiting = _Waiting()
        self._waiting_by_address: dict[str, _Waiting] = {}
        self._repeats = Repeats()

    @property
    def open(self) -> int:
        """The number of open connections, including those that are being closed."""
        return len(self._places)

    def enter(self, peer: Peer) -> Place | None:
        """Return a place for the connection from `peer`, or None. It may take that of another connection."""
        address = "" if self._is_proxy(peer[0]) else bucket_of(peer[0])
        if address and self._by_address[address] >= self._most_of_address:
            if not self._make_room(self._waiting_by_address.get(address), Limit.ADDRESS, peer[0]):
                return None
        elif self._all >= self.most and not self._make_room(self._waiting, Limit.ALL, peer[0]):
            return None
        place = self._places[peer] = Place(address)
        self._all += 1
        self._by_address[address] += 1
        self.waits(place, is_in_debt=False)
        return place

    def give_up_one(self) -> bool:
        """Cut off the first waiting connection, because no descriptor is left. Return False if none waits."""
        place = self._waiting.first
        if place is None:
            return False
        self._ended(Ended.CUT_OFF, Limit.DESCRIPTORS)
        self._uncount(place)
        place.cut()
        return True

    def place_of(self, peer: object) -> Place | None:
        return self._places.get(peer)

    def waits(self, place: Place, is_in_debt: bool) -> None:
        """Note that the connection waits for its client to send a request or, in debt, to take an answer."""
        self.is_busy(place)
        if place.counts:
            self._waiting.add(place, is_in_debt)
            self._waiting_by_address.setdefault(place.address, _Waiting()).add(place, is_in_debt)

    def is_busy(self, place: Place) -> None:
        """Note that the client waits for the api, or has just taken something."""
        self._waiting.remove(place)
        others = self._waiting_by_address.get(place.address)
        if others is not None:
            others.remove(place)
            if not others:
                del self._waiting_by_address[place.address]

    def stalled(self, host: str) -> None:
        """Note that a client at `host` was cut off, because it took nothing of an answer."""
        self._ended(Ended.STALLED, Limit.TIME)
        if self._repeats.is_news(Ended.STALLED):
            log.warning("a client at %s takes nothing of its answer: its connection is cut off", host)

    def leave(self, peer: Peer, place: Place) -> None:
        """Note that the connection is closed."""
        if self._places.get(peer) is place:
            del self._places[peer]
        self._uncount(place)

    def _make_room(self, waiting: _Waiting | None, limit: Limit, host: str) -> bool:
        place = waiting.first if waiting is not None else None
        if place is None:
            self._note(Ended.REFUSED, limit, host)
            return False
        self._note(Ended.CUT_OFF, limit, host)
        self._uncount(place)
        place.cut()
        return True

    def _uncount(self, place: Place) -> None:
        self.is_busy(place)
        if place.counts:
            place.counts = False
            self._all -= 1
            self._by_address[place.address] -= 1
            if not self._by_address[place.address]:
                del self._by_address[place.address]

    def _note(self, how: Ended, limit: Limit, host: str) -> None:
        self._ended(how, limit)
        if self._repeats.is_news(how, limit):
            log.warning(
                "%d connections are open, %d of them from %s; another one is above %s and %s",
                self._all,
                self._by_address[bucket_of(host)],
                host,
                _SETTINGS[limit],
                "is refused" if how is Ended.REFUSED else "takes the place of one that waits for its client",
            )
