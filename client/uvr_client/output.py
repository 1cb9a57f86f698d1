"""Prints a command's results to standard output and its messages to standard error."""

import codecs
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rich.console import Console, RenderableType

from uvr_client.errors import OutputFailed, UvrError, notes
from uvr_client.view import duration, printable

# The widest table, in columns, where no terminal sets the width.
_NO_TERMINAL_WIDTH = 500


def _as_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encodes a byte of a file's name, which Python keeps as a lone surrogate, as that byte."""
    if isinstance(error, UnicodeEncodeError) and not error.encoding.startswith(("utf-16", "utf-32")):
        c = error.object[error.start]
        if "\udc80" <= c <= "\udcff":
            return bytes([ord(c) - 0xDC00]), error.start + 1
    return codecs.backslashreplace_errors(error)


# What the encoding lacks is escaped: such a byte too in UTF-16 and UTF-32, where no byte stands alone.
codecs.register_error("uvr_names", _as_bytes)


class Output:
    """Prints for one command. With `as_json` standard output has JSON alone, one object per line."""

    def __init__(self, as_json: bool):
        self.as_json = as_json
        # A shell's `>&-` closes a stream, and Python then has none: nobody wants what goes there.
        sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (open to the end)
        sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
        self._is_read_by_people = sys.stdout.isatty()
        out_errors = "backslashreplace" if self._is_read_by_people else "uvr_names"
        for stream, errors in ((sys.stdout, out_errors), (sys.stderr, "backslashreplace")):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors=errors)
        self.out, self.err = _console(stderr=False), _console(stderr=True)

    def result(self, value: Mapping[str, Any], text: RenderableType) -> None:
        """Prints `value` with --json, else `text`."""
        if self.as_json:
            self.json(value)
        else:
            self.print(text)

    def made(self, value: Mapping[str, Any], text: str, what: str) -> None:
        """Prints the result of a call that made something. Where that fails, a message says `what`."""
        try:
            self.result(value, text)
        except OutputFailed as error:
            raise OutputFailed(f"{what}, but {error}") from error
        except BrokenPipeError:
            self.say(f"{what}, but nobody reads the output")
            raise

    def json(self, value: Mapping[str, Any]) -> None:
        """Prints `value` as one line of JSON."""
        # json.dumps writes ASCII: one line without control characters, whatever the api has sent.
        with _told(sys.stdout):
            print(json.dumps(value), flush=True)

    def path(self, path: Path) -> str:
        """Returns the path for `print`: as it is for programs, but escaped on a terminal."""
        return printable(path) if self._is_read_by_people else str(path)

    def print(self, text: RenderableType) -> None:
        """Prints a result for people. Text is printed as it is: rich would change tabs and drop CRs."""
        if not isinstance(text, str):
            self.out.print(text)
            return
        with _told(sys.stdout):
            print(text, flush=True)

    def say(self, text: str) -> None:
        """Prints a message to standard error; control characters are escaped."""
        self.err.print(printable(text), soft_wrap=True)

    def error(self, error: BaseException, about: str = "") -> None:
        """Prints why the command, or a part of it, has failed, and the error's notes below."""
        self.say(f"error: {about}: {error}" if about else f"error: {error}")
        self.notes(error)

    def notes(self, error: BaseException) -> None:
        """Prints the error's notes alone."""
        for note in notes(error):
            self.say(note)

    def retrying(self, error: UvrError, pause_s: float) -> None:
        """Prints the error that a retry follows in `pause_s`."""
        self.say(f"{error}; trying again" + (f" in {duration(pause_s)}" if pause_s >= 1 else ""))


class _Console(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        with _told(self.file):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would exit with its own code; session.py exits with ours


@contextmanager
def _told(stream: IO[str]) -> Iterator[None]:
    """Raises OutputFailed where `stream` cannot be written, but BrokenPipeError where nobody reads it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up(stream)
        raise OutputFailed(f"the output cannot be written: {error.strerror or error}") from error


def _give_up(stream: IO[str]) -> None:
    """Leads `stream` to /dev/null: else the interpreter writes the rest at its end, and exits with 120."""
    with suppress(OSError):  # a test's stream has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _console(stderr: bool) -> Console:
    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else _NO_TERMINAL_WIDTH
    return _Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
