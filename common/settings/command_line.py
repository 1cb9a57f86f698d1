"""Begins and ends commands: refuses arguments, and turns an interruption into an exit code."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def refuse(arguments: list[str], usage: str) -> None:
    """Ends the process if there are `arguments`: with 0 for `--help`, else with 2. Prints `usage`."""
    if not arguments:
        return
    asked = arguments[0] in ("-h", "--help")

    def print_usage() -> int:
        print(usage, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2

    sys.exit(run(print_usage))


def run(command: Callable[[], int]) -> int:
    """Runs a command and returns its exit code.

    A command that is interrupted ends quietly with 130. It ends quietly with 141 when nobody reads its output
    any more, as with `| head`.
    """
    try:
        try:
            return command()
        finally:
            # Flush here: the interpreter would do it at its end, where nobody catches the error.
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            _silence(stream)
        return EXIT_BROKEN_PIPE


def _silence(stream: TextIO | None) -> None:
    """Drops the text that is not written yet, so that it raises no second error at the interpreter's end."""
    if stream is None:
        return
    try:
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
