"""Files and directories of the local stack that no other user of the machine may read."""

import os
import stat
from pathlib import Path

# The umask of everything that the local start runs.
UMASK = 0o077


def write_private(path: Path, text: str) -> None:
    """Writes a file that its owner alone can read, and that is there whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    temporary.rename(path)


def make_private(directory: Path) -> None:
    """Makes `directory`, and takes from all that is in it the rights of other users.

    An earlier version left files there that everybody could read.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _take_rights(directory)
    for parent, directories, files in os.walk(directory):
        for name in (*directories, *files):
            _take_rights(Path(parent, name))


def _take_rights(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & UMASK:
            path.chmod(stat.S_IMODE(mode) & ~UMASK)
    except FileNotFoundError:  # a running server's own, gone meanwhile
        return
