"""Does what is asked about dead letters: one request at a time, in a thread beside the event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
Check = Callable[[], None]

# Each reads the whole topic: more administrators than this do not wait for one another.
_MOST_WAITING = 8
_PATIENCE_S = 60.0


class DeskBusy(Exception):
    """Too many requests about dead letters are under way, or this one has taken too long."""


class GivenUp(Exception):
    """Nobody waits for the answer any more."""


class _Job:
    """A question, the future of its answer, and whether somebody still waits for it."""

    def __init__(self, question: Callable[[Check], Any]):
        self._question = question
        self._given_up = threading.Event()
        self.future: Future[Any] = Future()

    def give_up(self) -> None:
        self._given_up.set()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            answer = self._question(self._check)
        except Exception as error:  # noqa: BLE001  # the loop's edge: whoever asked gets it
            self.future.set_exception(error)
        else:
            self.future.set_result(answer)

    def _check(self) -> None:
        if self._given_up.is_set():
            raise GivenUp


class Desk:
    """Runs questions in turn. So two replays of one api never overtake one another.

    The thread is a daemon: a producer waits without limit for a broker that is away, and the api must be able
    to stop meanwhile. A replay that is cut off so leaves no letter half replayed.
    """

    def __init__(self, patience_s: float = _PATIENCE_S):
        self._patience_s = patience_s
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None

    async def ask(self, question: Callable[[Check], T]) -> T:
        """Return the answer to `question`, which calls its argument between any two steps.

        Raise DeskBusy, and what the question raises. After DeskBusy the question takes no further step.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="dead-letters", daemon=True)
            self._thread.start()
        job = _Job(question)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise DeskBusy("too many requests about dead letters are under way") from None
        try:
            async with asyncio.timeout(self._patience_s):
                answer: T = await asyncio.wrap_future(job.future)
                return answer
        except TimeoutError:
            raise DeskBusy(f"Kafka did not answer within {self._patience_s:.0f} s") from None
        finally:
            job.give_up()

    def close(self) -> None:
        """Begin no further question."""
        while not self._jobs.empty():
            waiting = self._jobs.get_nowait()
            if waiting is not None:
                waiting.future.cancel()
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()
