"""Writes files and directories of the local stack that no other user of the machine can read."""

import json
import os
import stat
from pathlib import Path
from typing import Any

# The umask of every program that the local start runs.
UMASK = 0o077


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read. The file is complete or does not exist."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    temporary.rename(path)


def read_json(path: Path) -> Any:
    """Returns what `write_private` wrote as JSON, or None. A power failure may empty a new file."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def make_private(directory: Path) -> None:
    """Makes `directory`, and removes other users' permissions from everything in it.

    Earlier versions left files there that everyone could read.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_others(directory)
    for parent, directories, files in os.walk(directory):
        for name in (*directories, *files):
            _remove_others(Path(parent, name))


def _remove_others(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & UMASK:
            path.chmod(stat.S_IMODE(mode) & ~UMASK)
    except FileNotFoundError:  # a file of a running server, removed since it was listed
        return
