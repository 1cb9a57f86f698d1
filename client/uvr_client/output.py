"""Where a command prints: results on standard output, all else on standard error."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console, RenderableType

from uvr_client.errors import UvrError
from uvr_client.view import duration, shown

# As wide as a table may become where no terminal says how wide it is.
_NO_TERMINAL_WIDTH = 500


class Output:
    """`as_json`: results are JSON objects, one a line, and nothing else is on standard output."""

    def __init__(self, as_json: bool):
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="backslashreplace")
        self.out, self.err = _console(stderr=False), _console(stderr=True)

    def result(self, value: Mapping[str, Any], text: RenderableType) -> None:
        """`value` for scripts, `text` for people."""
        if self.as_json:
            self.json(value)
        else:
            self.print(text)

    def json(self, value: Mapping[str, Any]) -> None:
        # ASCII alone: whatever was sent, it is one line and can do a terminal no harm.
        print(json.dumps(value), flush=True)

    def print(self, text: RenderableType) -> None:
        self.out.print(text, soft_wrap=isinstance(text, str))

    def say(self, text: str) -> None:
        self.err.print(shown(text), soft_wrap=True)

    def again(self, error: UvrError, pause_s: float) -> None:
        self.say(f"{error}; trying again" + (f" in {duration(pause_s)}" if pause_s >= 1 else ""))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would end the process, with a code of its own


def _console(stderr: bool) -> Console:
    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else _NO_TERMINAL_WIDTH
    return _Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
