"""Defines the command `uvr batch`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from uvr_client import options, texts
from uvr_client.errors import UploadFailed
from uvr_client.output import Output
from uvr_client.session import end
from uvr_client.songs import file_of
from uvr_client.watching import TaskWatcher

_MAX_ITEMS = 1000
# Files of a directory with other endings are left alone: covers, notes and the like.
_SONGS = tuple(
    f".{ending}"
    for ending in (
        *(
            "wav",
            "flac",
            "mp3",
            "ogg",
            "oga",
            "opus",
            "spx",
            "m4a",
            "mp4",
            "mov",
            "mka",
            "mkv",
            "webm",
            "aac",
        ),
        *("aif", "aiff", "caf", "au", "wv", "tta", "wma", "avi", "ac3", "eac3", "dts", "w64", "rf64"),
    )
)

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.jsonl|DIR",
        help="a submission a line, as JSON; or a directory, whose songs are all submitted but hidden ones",
    ),
]


def batch(
    context: typer.Context,
    source: Source,
    hook: Annotated[
        str | None, typer.Option(metavar="URL", help="POST one callback once all tasks have ended")
    ] = None,
    wait: options.Wait = False,
    download: options.Download = None,
    idempotency_key: options.Key = None,
    preset: options.Preset = None,
    model: options.Model = None,
    stems: options.Stems = None,
    output_format: options.OutputFormat = None,
    as_json: options.Json = False,
) -> None:
    """Submit up to 1,000 songs at once, all or none, and print the batch's id. Files are uploaded first.

    A line's fields are those of POST /generate; a path in `audio` is relative to the file. The options are
    for songs whose line does not say otherwise.
    """
    output = Output(as_json)
    written = {"format": output_format} if output_format else None
    chosen = {"preset": preset, "model": model, "stems": options.parts(stems), "output": written}
    defaults = {name: value for name, value in chosen.items() if value is not None}
    with context.obj.client(output) as client:
        items = _items_of(source, output)
        files = sum(file_of(item["audio"]) is not None for item in items)
        if files and not as_json:
            output.say(f"uploading {files} files")
        queued = client.submit_batch(items, defaults or None, hook, idempotency_key=idempotency_key)
        ids = [task.task_uuid for task in queued.tasks]
        if not (wait or download):
            name = str(queued.batch_uuid)
            output.made(queued.model_dump(mode="json"), name, f"queued as the batch {name}")
            return
        output.say(f"{queued.batch_uuid}: {len(ids)} tasks queued")
        songs = {one: {"audio": str(item["audio"])} for one, item in zip(ids, items, strict=True)}
        codes = TaskWatcher(client, output, download, songs).run(ids)
    end(*codes)


def _items_of(source: Path, output: Output) -> Sequence[Mapping[str, Any]]:
    """Returns the submissions of a file or directory. Raises UploadFailed and BadParameter."""
    try:
        if source.is_dir():
            items = [_of_file(path) for path in _songs_in(source, output)]
        else:
            # Cut at LF alone: str.splitlines would cut the JSON at U+2028, U+2029 and U+0085.
            lines = source.read_bytes().decode("utf-8-sig").split("\n")
            items = [_item(source, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UploadFailed(f"{source}: {getattr(error, 'strerror', None) or error}") from error
    if not 1 <= len(items) <= _MAX_ITEMS:
        raise typer.BadParameter(f"{source} has {len(items)} songs: expected 1 to {_MAX_ITEMS}")
    return items


def _songs_in(directory: Path, output: Output) -> Sequence[Path]:
    """Returns the directory's songs in the order of their names, and says how many entries are left out.

    Beside each song `x.mp3`, a Mac leaves its notes as `._x.mp3` on disks of other systems. Raises OSError.
    """
    named = sorted(path for path in directory.iterdir() if path.suffix.lower() in _SONGS)
    shown = [path for path in named if not path.name.startswith(".")]
    songs = [path for path in shown if path.is_file()]
    for why, count in (
        ("hidden: the name begins with a dot", len(named) - len(shown)),
        ("no regular file", len(shown) - len(songs)),
    ):
        if count:
            output.say(f"{directory}: skipped {count} ({why})")
    return songs


def _of_file(path: Path) -> dict[str, Any]:
    """Returns the submission of a directory's file. The api refuses a label of blanks."""
    label = texts.readable(path.stem)[:200]
    return {"audio": path, "label": label} if label.strip() else {"audio": path}


def _item(source: Path, number: int, line: str) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{source}, line {number}: not JSON: {error}") from None
    audio = item.get("audio") if isinstance(item, dict) else None
    if not isinstance(audio, str):
        raise typer.BadParameter(f'{source}, line {number}: expected an object with "audio"')
    path = file_of(audio)
    return {**item, "audio": audio if path is None else source.parent / path}


COMMANDS = (batch,)
