"""Starts a processor's children by the fork server, from templates that have imported what they need.

An engine takes 2 s of CPU less, a decoder or a writer of stems 0.25 s. Where a GPU is, engines start as the
product starts them: CUDA in a forked process was not tried. Tests that look at the children of their own
process use the fixture `no_forks`.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from processor import child_process, fork_server
from processor.child_process import ONE_THREAD, Channel
from processor.engine.starter import CHILD_ENVIRONMENT
from tests.support.fork_server import ForkedProcess, ForkServer, Start, fork, server_for

DECODER = "processor.audio.decoder_process"
# What each imports in a function. An environment of its own keeps torch out of the template of the last two.
_LOADED_BY_MODELS = (
    "torch",
    "processor.separation.architectures.mdx_on_cpu",
    "processor.separation.runtimes.onnx_network",
)
_ENGINES = {
    "processor.engine.process": (
        "processor.engine.warm_model",
        "processor.separation.batches",
        *_LOADED_BY_MODELS,
    ),
    "processor.preparation.process": ("processor.engine.warm_model", *_LOADED_BY_MODELS),
}
_OTHERS = {
    DECODER: ("processor.audio.decode", "processor.audio.song_tags", "processor.audio.window"),
    "processor.output.process": ("processor.output.writing", "processor.output.writing_job"),
}
_OTHERS[fork_server.MODULE] = tuple(name for names in _OTHERS.values() for name in names)
_FORKED = _OTHERS if Path("/dev/nvidiactl").exists() else _OTHERS | _ENGINES
own_spawn = child_process.spawn


def servers_below(environment: Mapping[str, str]) -> dict[str, str]:
    """The addresses of the servers that fork the children of a processor with this environment, by module."""
    engines = server_for({**environment, **CHILD_ENVIRONMENT}).address
    return dict.fromkeys(_ENGINES, engines) | dict.fromkeys(_OTHERS, server_of_decoders(environment).address)


def server_of_decoders(environment: Mapping[str, str]) -> ForkServer:
    """The server that forks the decoders of a processor with this environment, and its writers."""
    return server_for({**environment, **ONE_THREAD})


def install(addresses: Mapping[str, str]) -> None:
    """Lets this process's children start by the fork servers at these addresses, else by its own servers."""

    def spawn(
        module: str, arguments: list[str], environment: Mapping[str, str] | None = None
    ) -> tuple[ForkedProcess, Channel]:
        if module not in _FORKED:
            return own_spawn(module, arguments, environment)
        given = {**child_process._without_secrets(os.environ), **(environment or {})}
        start = Start(module, arguments, given, _FORKED[module])
        ours, theirs = socket.socketpair()
        with theirs:
            forked = fork(addresses.get(module) or server_for(given).address, start, 2, theirs.fileno())
        return forked, Channel(ours)

    child_process.spawn = spawn
