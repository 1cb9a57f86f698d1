"""Lets requests begin in order: a few in each turn of the event loop, so that no turn takes long.

Probes begin at once. A connection's only request goes before pipelined requests, which were sent together
with an earlier one: otherwise a client that pipelines hundreds would be served as often as hundreds of
clients.
"""

import asyncio
from collections import deque

_IN_A_TURN = 8


class Turns:
    """Used in one event loop."""

    def __init__(self, in_a_turn: int = _IN_A_TURN):
        self._in_a_turn, self._begun = in_a_turn, 0
        self._first: deque[asyncio.Future[None]] = deque()
        self._piled_up: deque[asyncio.Future[None]] = deque()
        self._is_counting = False

    async def take(self, is_piled_up: bool) -> None:
        """Return when the request may begin. `is_piled_up` says that it came together with an earlier one."""
        if self._begun < self._in_a_turn:
            self._begin()
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._piled_up if is_piled_up else self._first).append(waiting)
        await waiting

    def _begin(self) -> None:
        self._begun += 1
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._begun, self._is_counting = 0, False
        while self._begun < self._in_a_turn and (self._first or self._piled_up):
            waiting = (self._first or self._piled_up).popleft()
            if not waiting.done():  # done: its task was cancelled
                waiting.set_result(None)
                self._begin()
