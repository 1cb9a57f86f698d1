"""Runs commands of the product by the fork server, to their ends: their imports take up to 1.5 s of CPU.

For each command another test starts the real process, as users do.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.support.fork_server import Start, fork, server_for
from tests.support.paths import REPOSITORY

# As `tests.support.stack` sets them for services: commands then share their template.
_AS_SERVICES = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}


def run_forked(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    directory: Path = REPOSITORY,
    given: str = "",
    output: IO[bytes] | None = None,
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Does what `subprocess.run` does with `python -m module arguments…`, which reads `given`.

    Its output goes to `output`, if there is one. Raises TimeoutExpired after it has killed the process.
    """
    language = {name: os.environ[name] for name in ("LANG",) if name in os.environ}
    environment = {**_AS_SERVICES, **language, **environment}
    start = Start(module, arguments, environment, directory=str(directory))
    with (
        tempfile.TemporaryFile() as told,
        tempfile.TemporaryFile() as errors,
        tempfile.TemporaryFile() as read,
    ):
        read.write(given.encode())
        read.seek(0)
        process = fork(
            server_for(environment).address,
            start,
            (output or told).fileno(),
            errors=errors.fileno(),
            given=read.fileno(),
        )
        try:
            code = process.wait(timeout_s)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess([module, *arguments], code, _content(told), _content(errors))


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
