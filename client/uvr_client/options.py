"""Defines the arguments and options of `uvr` with their checks and their help."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
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


def parts(text: str | None) -> list[str] | None:
    """Returns the parts of a text with commas between them."""
    return None if text is None else [part.strip() for part in text.split(",")]


def numbers(text: str | None) -> list[float] | None:
    """Returns the numbers in a text with commas between them. Raises BadParameter."""
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"expected numbers with commas between them, not {text!r}") from None


def number_or_text(text: str | None) -> int | str | None:
    """Returns a text of up to 9 digits as a number. The api says what else it may be."""
    return int(text) if text is not None and re.fullmatch("[0-9]{1,9}", text) else text


def pairs(texts: Sequence[str] | None) -> dict[str, str] | None:
    """Returns the values by their keys, from texts of the form KEY=VALUE."""
    found: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals or key in found:
            raise typer.BadParameter(f"expected --meta KEY=VALUE, each key once, not {text!r}")
        found[key] = value
    return found or None


def check_key(idempotency_key: str | None, urls: Sequence[str]) -> None:
    """Raises BadParameter for one key with several songs."""
    if idempotency_key is not None and len(urls) > 1:
        raise typer.BadParameter("--idempotency-key names one task: give one song with it")


Url = Annotated[str | None, typer.Option(help=f"the api's address [UVR_URL; {DEFAULT_URL}]")]
Username = Annotated[str | None, typer.Option(help="the user name to sign in with [UVR_USERNAME]")]
Password = Annotated[
    str | None,
    typer.Option(
        help="the password [UVR_PASSWORD]; other users of this machine can see it on the command line"
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="a key, in place of user name and password [UVR_API_KEY]; other users of this machine can "
        "see it on the command line"
    ),
]
FromDay = Annotated[
    str | None, typer.Option("--from", metavar="DAY", help="the first day, such as 2026-11-28, in UTC")
]
ToDay = Annotated[str | None, typer.Option("--to", metavar="DAY", help="the last day, in UTC")]
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
SongUrls = Annotated[
    list[str], typer.Argument(metavar="SONG", help="files, which are uploaded, or addresses of songs")
]
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


def _chosen(metavar: str, help_text: str) -> Any:
    return typer.Option(metavar=metavar, help=help_text)


Preset = Annotated[str | None, _chosen("NAME", "separate with this preset: see `uvr presets`")]
Model = Annotated[str | None, _chosen("NAME", "separate with this model: see `uvr models`")]
Models = Annotated[str | None, _chosen("A,B", "separate with two to five models together")]
EnsembleOf = Annotated[
    str | None, typer.Option("--ensemble", metavar="WAY", help="how --models are combined, such as avg_fft")
]
Weights = Annotated[str | None, _chosen("1,2", "how much each of --models counts")]
Stems = Annotated[str | None, _chosen("A,B", "only these stems, such as vocals")]
OutputFormat = Annotated[
    str | None, typer.Option("--format", metavar="FORMAT", help="wav, flac, mp3, m4a or ogg")
]
BitDepth = Annotated[int | None, _chosen("BITS", "16, 24 or 32 (float) in wav; 16 or 24 in flac")]
SampleRate = Annotated[str | None, _chosen("HZ", "the stems' sample rate, or `source`: the song's own")]
BitRate = Annotated[int | None, typer.Option("--bitrate", metavar="KBPS", help="of mp3, m4a and ogg")]
Normalize = Annotated[str | None, _chosen("HOW", "none, peak, or a loudness such as lufs:-14")]
Tags = Annotated[str | None, _chosen("HOW", "keep: the stems get the song's tags and cover; or none")]
Start = Annotated[float | None, _chosen("SECONDS", "separate the song from here on")]
Duration = Annotated[float | None, _chosen("SECONDS", "separate so much of the song")]
Label = Annotated[str | None, _chosen("TEXT", "a name for the task and its stems, at most 200 characters")]
Meta = Annotated[
    list[str] | None,
    _chosen("KEY=VALUE", "a text that comes back with the task; may be given several times"),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="separate anew, even if an earlier task has the same stems")
]
Priority = Annotated[
    int | None, typer.Option(min=1, max=5, help="how urgent the task is: 5 the most, 3 by default")
]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
ArchiveFile = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="write to FILE in place of ID.zip")
]
OfUser = Annotated[str | None, typer.Option("--user", metavar="NAME", help="administrators: of this user")]
OfAll = Annotated[bool, typer.Option("--all", help="administrators: of all users who have stems")]
InState = Annotated[State | None, typer.Option(help="only tasks in this state")]
Since = Annotated[
    float | None,
    typer.Option(metavar="TIME", parser=_since, help=f"only tasks submitted since TIME: {FORMS}"),
]
WithKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="only the task submitted with this Idempotency-Key")
]
WithLabel = Annotated[
    str | None,
    typer.Option("--label", metavar="TEXT", help="only tasks whose label begins with this"),
]
Search = Annotated[
    str | None,
    typer.Option(
        "--search", metavar="TEXT", help="only tasks whose label, file name or address has these words"
    ),
]
Limit = Annotated[int, typer.Option(min=1, help="the largest number of tasks to list")]
Json = Annotated[bool, typer.Option("--json", help="print results as JSON, one object per line")]
