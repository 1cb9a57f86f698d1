"""Starts the bench's processes that separate by the fork server: the library's imports take 4 s of CPU."""

import os
from collections.abc import Mapping, Sequence
from typing import IO

from tests.support.fork_server import ForkServer, Start, fork

# What each imports in a function. The library needs `scipy.signal` whole, before the engine postpones it.
_PRELOADED = {
    "library": (
        "scipy.signal",
        "tests.support.processor.whole_file",
        "audio_separator.separator.architectures.demucs_separator",
        "audio_separator.separator.architectures.mdxc_separator",
        "audio_separator.separator.architectures.vr_separator",
        "bench.stopwatch",
    ),
    "engine": ("torch", "processor.preparation.installation", "bench.stopwatch"),
}


class ForkedSeparating:
    """What the bench uses of `subprocess.Popen`, for a forked `python -m bench.separating`."""

    def __init__(self, server: ForkServer, arguments: Sequence[str], env: Mapping[str, str], log: IO[str]):
        self.args = ["bench.separating", *arguments]
        given, written = os.pipe()
        read, told = os.pipe()
        self.stdin, self.stdout = open(written, "w"), open(read)  # noqa: SIM115 - `communicate` closes them
        start = Start("bench.separating", arguments, env, _PRELOADED[arguments[0]])
        with open(given) as child_reads, open(told, "w") as child_writes:
            process = fork(
                server.address,
                start,
                child_writes.fileno(),
                errors=log.fileno(),
                given=child_reads.fileno(),
            )
        self.kill, self.wait = process.kill, process.wait

    def communicate(self) -> None:
        self.stdin.close()
        self.stdout.close()
        self.wait()


class ForkedBench:
    """Keeps a template for each side of the bench until it is closed."""

    def __init__(self) -> None:
        self._servers: dict[str, ForkServer] = {}

    def start(self, arguments: Sequence[str], env: Mapping[str, str], log: IO[str]) -> ForkedSeparating:
        """Does what `bench.separating._start` does."""
        side = arguments[0]
        if side not in self._servers:
            self._servers[side] = ForkServer(env)
        return ForkedSeparating(self._servers[side], arguments, env, log)

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
