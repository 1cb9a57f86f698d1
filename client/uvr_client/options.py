"""Defines the arguments and options of `uvr` with their checks and their help."""

import time
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from uvr_client.models import State
from uvr_client.settings import DEFAULT_URL
from uvr_client.times import FORMS, parse_since
from uvr_client.version import __version__

_MAX_CANCEL_AFTER_S = 30 * 86400.0


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"uvr {__version__}")
        raise typer.Exit


def _checked_seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= _MAX_CANCEL_AFTER_S:
        raise typer.BadParameter("expected more than 0 and at most 2592000 seconds (30 days)")
    return seconds


def _since(text: str) -> float:
    try:
        return parse_since(text, time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Url = Annotated[str | None, typer.Option(help=f"the api's address [UVR_URL; {DEFAULT_URL}]")]
Username = Annotated[str | None, typer.Option(help="the user name to sign in with [UVR_USERNAME]")]
Password = Annotated[
    str | None,
    typer.Option(
        help="the password [UVR_PASSWORD]; other users of this machine can see it on the command line"
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="a TOML file with url, username and password [~/.config/uvr/config.toml]"
    ),
]
Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
]

Id = Annotated[UUID, typer.Argument(metavar="ID", help="the task's id, as `uvr submit` prints it")]
Ids = Annotated[list[UUID], typer.Argument(metavar="ID", help="the tasks' ids, as `uvr submit` prints them")]
SongUrls = Annotated[list[str], typer.Argument(metavar="URL", help="addresses of songs")]
Hook = Annotated[str | None, typer.Option(metavar="URL", help="POST the callback to this address")]
Wait = Annotated[bool, typer.Option("--wait", help="wait until the stems are ready or the task has failed")]
Download = Annotated[
    Path | None,
    typer.Option("--download", metavar="DIR", help="download the stems to DIR/ID/ and check their sha256"),
]
Key = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="the Idempotency-Key: submitting again with it makes no second task"),
]
CancelAfter = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", callback=_checked_seconds, help="cancel the task if it has not ended by then"
    ),
]
InState = Annotated[State | None, typer.Option(help="only tasks in this state")]
Since = Annotated[
    float | None,
    typer.Option(metavar="TIME", parser=_since, help=f"only tasks submitted since TIME: {FORMS}"),
]
WithKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="only the task submitted with this Idempotency-Key")
]
Limit = Annotated[int, typer.Option(min=1, help="the largest number of tasks to list")]
Json = Annotated[bool, typer.Option("--json", help="print results as JSON, one object per line")]
