"""Runs calls that may block for ever one after another, in a thread that keeps no process alive."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class OneThread:
    """Runs calls in their order. An executor's threads are joined when Python ends; this one is a daemon."""

    def __init__(self, name: str):
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Return the future of the call's answer. A call whose future is cancelled meanwhile is not begun."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        return future

    def close(self) -> None:
        """Begin no further call: those that wait are cancelled once the present one ends."""
        self._is_closed.set()
        self._calls.put(None)

    def _work(self) -> None:
        while (taken := self._calls.get()) is not None:
            future, call = taken
            if self._is_closed.is_set():
                future.cancel()
            if future.set_running_or_notify_cancel():
                _answer(future, call)


def _answer(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        answer = call()
    except Exception as error:  # noqa: BLE001 (the loop's edge: whoever asked gets it)
        future.set_exception(error)
    else:
        future.set_result(answer)
