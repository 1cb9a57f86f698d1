"""Connects a command to the api: makes a client from the settings, and exit codes from errors."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TypeVar

import typer

from uvr_client import exits
from uvr_client.client import UvrClient
from uvr_client.errors import BadRequest, Conflict, NotFound, OutputFailed, UploadFailed, UvrError
from uvr_client.exits import Exit
from uvr_client.output import Output
from uvr_client.settings import BadSettings, Given, load
from uvr_client.transport import Patience

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """The options before the command's name, and the client's patience."""

    flags: Given
    file: Path | None
    patience: Patience

    @contextmanager
    def client(self, output: Output) -> Iterator[UvrClient]:
        """Yields a client. If the body fails, prints why and ends the process with the error's exit code."""
        with _exiting_when_interrupted(output):
            try:
                with self._connect(output) as client:
                    yield client
            except UvrError as error:
                with suppress(OutputFailed):  # standard error is what failed
                    output.error(error)
                if isinstance(error, OutputFailed):
                    end_at_once(Exit.OUTPUT_FAILED)
                end(exits.of_error(error))

    def _connect(self, output: Output) -> UvrClient:
        try:
            settings = load(self.flags, os.environ, self.file, output.say)
            patience = replace(self.patience, tell=output.retrying, say=output.say)
            return UvrClient(
                settings.url, settings.username, settings.password, key=settings.key, patience=patience
            )
        except (BadSettings, ValueError) as error:
            output.error(error)
            end(Exit.BAD_SETTINGS)


@contextmanager
def _exiting_when_interrupted(output: Output) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        with suppress(OutputFailed, BrokenPipeError):
            output.notes(interrupt)
        end_at_once(Exit.INTERRUPTED)
    except BrokenPipeError:
        end_at_once(Exit.BROKEN_PIPE)  # the reader of the output has gone, such as `head`


def end(*codes: Exit) -> NoReturn:
    """Ends the process with the highest of `codes`, or 0 if there are none."""
    raise typer.Exit(max(codes, default=Exit.DONE))


def end_at_once(code: Exit) -> NoReturn:
    """Ends the process at once, while other threads may still follow streams and print.

    A normal exit of the interpreter beside such threads aborted the process now and then (SIGABRT). Closing
    the client first would make each thread report that its stream broke.
    """
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def each(items: Iterable[T], output: Output, call: Callable[[T], None]) -> list[Exit]:
    """Calls `call` with each item. An error of one item is printed, and the next item follows.

    Returns the exit codes of the items that failed.
    """
    codes = []
    for item in items:
        try:
            call(item)
        except (BadRequest, NotFound, Conflict, UploadFailed) as error:
            output.error(error, str(item))
            codes.append(exits.of_error(error))
    return codes
