"""Shows how much of a file is uploaded: a bar on a terminal, a line elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from uvr_client.output import Output
from uvr_client.parts import Progress as OnProgress
from uvr_client.songs import file_of
from uvr_client.view import printable


@contextmanager
def upload_bar(output: Output, audio: str) -> Iterator[OnProgress]:
    """Yields what is to be called with the bytes sent so far. An address, and --json, shows nothing."""
    path = file_of(audio)
    if path is None or output.as_json:
        yield lambda sent_bytes, size_bytes: None
        return
    if not output.err.is_terminal:
        output.say(f"uploading {path}")
        yield lambda sent_bytes, size_bytes: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.err, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task(printable(path.name))
        yield lambda sent_bytes, size_bytes: progress.update(bar, completed=sent_bytes, total=size_bytes)
