"""A process that has imported what others need, and forks for each; see `tests.support.fork_server`."""

import contextlib
import functools
import gc
import importlib
import importlib.util
import io
import json
import os
import runpy
import select
import socket
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any, TextIO

from common import failpoint
from processor.child_process import name_after
from tests.support.fork_server import MAX_MESSAGE_BYTES, Start
from tests.support.kafka_coders import compile_coders
from tests.support.processes import die_with_parent
from tests.support.s3_descriptions import keep_descriptions

_SERVICES = ("api.run", "processor.run", "uploader.run")


class _Template:
    """Imports, forks, and tells the ends of its children."""

    def __init__(self, listener: int, lives: int):
        self._listener = socket.socket(fileno=listener)
        self._lives = lives
        self._pid = os.getpid()
        # The interpreter itself may have set one variable (PEP 538).
        self._before = os.environ.keys() - {"LC_CTYPE"}
        self._running: dict[int, tuple[int, int]] = {}  # of each child's own descriptor: its id and pipe

    def serve(self) -> Start:
        """Serves until the tests end. Returns in each child alone, with what is to be run there."""
        while True:
            readable, _, _ = select.select([self._listener, self._lives, *self._running], [], [])
            if self._lives in readable:
                os._exit(0)
            for ended in self._running.keys() & set(readable):
                self._tell_end(ended)
            if self._listener in readable and (start := self._take_request()):
                return start

    def _tell_end(self, descriptor: int) -> None:
        pid, told = self._running.pop(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(BrokenPipeError):  # nobody is interested
            os.write(told, str(code).encode())
        os.close(told)
        os.close(descriptor)

    def _take_request(self) -> Start | None:
        """Returns what is to be run in a child, and None in the template."""
        with self._listener.accept()[0] as connection:
            request, descriptors, _, _ = socket.recv_fds(connection, MAX_MESSAGE_BYTES, 5)
            if not request:  # whoever asked was killed
                return None
            start = Start(**json.loads(request))
            try:
                _load(start)
                threads = os.listdir("/proc/self/task")
                assert len(threads) == 1, f"the import of {start.module} has started threads: {threads}"
                pid = os.fork()
            except Exception:  # noqa: BLE001 - the loop's edge: the test that asked raises it
                answer: dict[str, Any] = {"error": traceback.format_exc()}
            else:
                if not pid:
                    self._become(start, descriptors)
                    return start
                told, *descriptors = descriptors
                self._running[os.pidfd_open(pid)] = (pid, told)
                answer = {"pid": pid}
            for descriptor in descriptors:
                os.close(descriptor)
            with contextlib.suppress(OSError):  # the same
                connection.send(json.dumps(answer).encode())
        return None

    def _become(self, start: Start, descriptors: Sequence[int]) -> None:
        """Makes a child what `python -m` would have found."""
        die_with_parent()
        if os.getppid() != self._pid:  # the template ended before the kernel knew
            os._exit(1)
        name_after(start.module)
        told, *streams, channel = descriptors if len(descriptors) == 5 else [*descriptors, None]
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.stdout = sys.__stdout__ = _reopened(sys.stdout)
        os.chdir(start.directory)
        self._listener.close()
        others = [told for _, told in self._running.values()]
        for descriptor in [*streams, told, self._lives, *self._running, *others]:
            os.close(descriptor)
        set_by_imports = {name: value for name, value in os.environ.items() if name not in self._before}
        os.environ.clear()
        os.environ.update({**start.environment, **set_by_imports})
        tempfile.tempdir = None
        # As `processor.child_process` does; the parent is the template.
        attached = [] if channel is None else [str(channel), str(os.getppid())]
        sys.argv[1:] = [*attached, *start.arguments]


def _reopened(stream: TextIO) -> TextIO:
    """The stream made anew as the interpreter makes it: a file can be sought in, and a pipe cannot."""
    assert isinstance(stream, io.TextIOWrapper)
    raw = io.FileIO(stream.fileno(), "wb", closefd=False)
    through = stream.write_through
    binary = raw if through else io.BufferedWriter(raw)
    return io.TextIOWrapper(binary, stream.encoding, stream.errors, newline="\n", write_through=through)


def _main_of(module: str) -> str:
    """The name of what `python -m module` runs."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"no module {module}"
    return module if spec.submodule_search_locations is None else f"{module}.__main__"


def _load(start: Start) -> None:
    """Imports what a process needs, once."""
    main = _main_of(start.module)
    for name in (main, *start.preloaded):
        importlib.import_module(name)
    # A service imports the rest of itself in a function, since its commands need nothing of that.
    service = main.replace("__main__", "run")
    if service in _SERVICES:
        importlib.import_module(service)
    if "kafka" in sys.modules:
        compile_coders()
    if "boto3" in sys.modules:
        _load_s3()
    gc.freeze()  # a child's garbage collection would copy all these objects by writing to them


@functools.cache
def _load_s3() -> None:
    """Reads botocore's descriptions of S3, which it would parse again for each of a process's sessions."""
    import boto3

    keep_descriptions()
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
    boto3.session.Session().client("s3", **keys).can_paginate("list_objects_v2")


def _run(start: Start) -> None:
    failpoint.arm(os.environ.get(failpoint.VARIABLE, ""))
    if start.children:
        from tests.support.processor import forked_children

        forked_children.install(start.children)
    main = _main_of(start.module)
    sys.modules.pop(main, None)  # it runs anew, as `__main__`
    runpy.run_module(main, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run(_Template(*map(int, sys.argv[1:])).serve())
