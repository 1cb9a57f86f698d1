"""Runs commands of the product by the fork server, to their ends: their imports take up to 1.5 s of CPU.

For each command another test starts the real process, as users do.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
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
    errors: IO[bytes] | None = None,
    timeout_s: float = 120,
    preloaded: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Does what `subprocess.run` does with `python -m module arguments…`, which reads `given`.

    Its output goes to `output`, and its errors to `errors`, if these are given. `preloaded` are modules that
    it imports in functions. Raises TimeoutExpired after it has killed the process.
    """
    environment = _complete(environment)
    start = Start(module, arguments, environment, preloaded, directory=str(directory))
    with (
        tempfile.TemporaryFile() as told,
        tempfile.TemporaryFile() as told_errors,
        tempfile.TemporaryFile() as read,
    ):
        read.write(given.encode())
        read.seek(0)
        process = fork(
            server_for(environment).address,
            start,
            (output or told).fileno(),
            errors=(errors or told_errors).fileno(),
            given=read.fileno(),
        )
        try:
            code = process.wait(timeout_s)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess([module, *arguments], code, _content(told), _content(told_errors))


class ForkedReader:
    """A `python -m module arguments…` that goes on while `output`, where it writes all, is read."""

    def __init__(
        self, module: str, *arguments: str, environment: Mapping[str, str], preloaded: Sequence[str] = ()
    ):
        """`preloaded` are modules that it imports in functions."""
        environment = _complete(environment)
        read_end, write_end = os.pipe()
        self.output = open(read_end)  # noqa: SIM115 - `end` closes it
        with open(write_end, "wb") as told:
            start = Start(module, arguments, environment, preloaded)
            self.process = fork(server_for(environment).address, start, told.fileno())

    def end(self, timeout_s: float = 120) -> tuple[int, str]:
        """Waits for its end. Returns the exit code, and what it has written since the last look."""
        with self.output:
            rest = self.output.read()
            return self.process.wait(timeout_s), rest


def _complete(environment: Mapping[str, str]) -> dict[str, str]:
    language = {name: os.environ[name] for name in ("LANG",) if name in os.environ}
    return {**_AS_SERVICES, **language, **environment}


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
