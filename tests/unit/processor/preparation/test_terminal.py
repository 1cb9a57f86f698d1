"""A command that is stopped ends at once, wherever the signal finds it."""

import signal
import threading
import weakref
from collections.abc import Callable

import pytest

from processor.preparation.terminal import stopped_in_good_order


def run(*steps: Callable[[], object]) -> None:
    with stopped_in_good_order():
        for step in steps:
            step()


class Thing: ...


class Stopping:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def let_go_of_one_with_a_callback() -> None:
    thing = Thing()
    _ = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    del thing


@pytest.mark.parametrize("stop", [let_go_of_one_with_a_callback, Stopping])
def test_a_signal_within_a_callback_of_python_ends_it_without_a_traceback(stop, capfd):
    with pytest.raises(SystemExit) as ended:
        run(stop, threading.Event().wait)
    assert ended.value.code == 128 + signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_such_a_signal_is_not_lost_at_the_end(capfd):
    with pytest.raises(SystemExit) as ended:
        run(let_go_of_one_with_a_callback)
    assert ended.value.code == 128 + signal.SIGTERM
    assert capfd.readouterr().err == ""
