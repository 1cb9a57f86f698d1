"""What every command has in common: settings become a client, and errors messages and exit codes."""

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
from uvr_client.errors import BadRequest, Conflict, NotFound, UvrError
from uvr_client.exits import Exit
from uvr_client.output import Output
from uvr_client.settings import BadSettings, Given, load
from uvr_client.transport import Patience

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """What was said before the command's name, and how patient the client is."""

    flags: Given
    file: Path | None
    patience: Patience

    @contextmanager
    def client(self, output: Output) -> Iterator[UvrClient]:
        """Ends the process, with a message, in whatever its body could not do."""
        try:
            with self._connect(output) as client, _breaking_off():
                yield client
        except UvrError as error:
            output.say(f"error: {error}")
            end(exits.of_error(error))

    def _connect(self, output: Output) -> UvrClient:
        try:
            settings = load(self.flags, os.environ, self.file, output.say)
            patience = replace(self.patience, tell=output.again)
            return UvrClient(settings.url, settings.username, settings.password, patience=patience)
        except (BadSettings, ValueError) as error:
            output.say(f"error: {error}")
            end(Exit.BAD_SETTINGS)


@contextmanager
def _breaking_off() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        end_at_once(Exit.INTERRUPTED)
    except BrokenPipeError:
        end_at_once(Exit.BROKEN_PIPE)  # nobody reads on


def end(*codes: Exit) -> NoReturn:
    """Ends the process: of several codes the highest counts."""
    raise typer.Exit(max(codes, default=Exit.DONE))


def end_at_once(code: Exit) -> NoReturn:
    """Ends the process while other threads may still follow streams, and print.

    Beside them the interpreter's own end was seen to abort the process (SIGABRT, rarely); and to close the
    client first would have each of them say that its stream broke.
    """
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def each(items: Iterable[T], output: Output, call: Callable[[T], None]) -> list[Exit]:
    """Calls with one after another: what is wrong with one of them keeps none of the others back."""
    codes = []
    for item in items:
        try:
            call(item)
        except (BadRequest, NotFound, Conflict) as error:
            output.say(f"error: {item}: {error}")
            codes.append(exits.of_error(error))
    return codes
