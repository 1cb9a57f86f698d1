"""Prints a command's results to standard output and its messages to standard error."""

import io
import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console, RenderableType

from uvr_client.errors import UvrError
from uvr_client.view import duration, printable

# The widest table, in columns, where no terminal sets the width.
_NO_TERMINAL_WIDTH = 500


class Output:
    """Prints for one command. With `as_json` standard output has JSON alone, one object per line."""

    def __init__(self, as_json: bool):
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        self.out, self.err = _console(stderr=False), _console(stderr=True)

    def result(self, value: Mapping[str, Any], text: RenderableType) -> None:
        """Prints `value` with --json, else `text`."""
        if self.as_json:
            self.json(value)
        else:
            self.print(text)

    def json(self, value: Mapping[str, Any]) -> None:
        """Prints `value` as one line of JSON."""
        # json.dumps writes ASCII: one line without control characters, whatever the api has sent.
        print(json.dumps(value), flush=True)

    def print(self, text: RenderableType) -> None:
        """Prints a result for people."""
        self.out.print(text, soft_wrap=isinstance(text, str))

    def say(self, text: str) -> None:
        """Prints a message to standard error; control characters are escaped."""
        self.err.print(printable(text), soft_wrap=True)

    def retrying(self, error: UvrError, pause_s: float) -> None:
        """Prints the error that a retry follows in `pause_s`."""
        self.say(f"{error}; trying again" + (f" in {duration(pause_s)}" if pause_s >= 1 else ""))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would exit with its own code; session.py exits with ours


def _console(stderr: bool) -> Console:
    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else _NO_TERMINAL_WIDTH
    return _Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
