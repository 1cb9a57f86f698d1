"""Starts engines by the fork server, from a template that has imported torch: 2 s of CPU less for each.

Where a GPU is, they start as the product starts them: CUDA in a forked process was not tried.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from processor import child_process
from processor.child_process import Channel
from processor.engine.starter import CHILD_ENVIRONMENT
from tests.support.fork_server import ForkedProcess, ForkServer, Start, fork, server_for

# Each imports the second module in a function.
_FORKED = {
    "processor.engine.process": ("processor.engine.warm_model", "processor.separation.batches"),
    "processor.preparation.process": ("processor.engine.warm_model",),
}
_own_spawn = child_process.spawn
_HAS_GPU = Path("/dev/nvidiactl").exists()


def server_below(environment: Mapping[str, str]) -> ForkServer:
    """The server that forks the engines of a processor with this environment."""
    return server_for({**environment, **CHILD_ENVIRONMENT})


def install(address: str = "") -> None:
    """Lets this process's engines start by the fork server at `address`, or by one of this process's own."""

    def spawn(
        module: str, arguments: list[str], environment: Mapping[str, str] | None = None
    ) -> tuple[ForkedProcess, Channel]:
        if module not in _FORKED or _HAS_GPU:
            return _own_spawn(module, arguments, environment)
        given = {**child_process._without_secrets(os.environ), **(environment or {})}
        start = Start(module, arguments, given, _FORKED[module])
        ours, theirs = socket.socketpair()
        with theirs:
            forked = fork(address or server_for(given).address, start, 2, theirs.fileno())
        return forked, Channel(ours)

    child_process.spawn = spawn
