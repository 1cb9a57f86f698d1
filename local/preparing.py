"""Prepares what the local stack needs before it starts: commands, Kafka, and a check of the store."""

import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable

import imageio_ffmpeg

from local import broker, program_environment
from local.config import LocalConfig
from local.errors import LocalError


def link_commands(config: LocalConfig) -> None:
    """Puts `ffmpeg` and `uvr` into the stack's PATH. The wheel's ffmpeg has its version in its file name."""
    directory = config.directory / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".ffmpeg-{os.getpid()}"
    temporary.symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    temporary.rename(directory / "ffmpeg")
    # -P: a directory called `uvr_client` where the caller is must not be imported.
    uvr = shlex.join([sys.executable, "-P", "-m", "uvr_client"])
    temporary = directory / f".uvr-{os.getpid()}"
    project = shlex.quote(str(config.root / "client"))
    temporary.write_text(f'#!/bin/sh\nPYTHONPATH={project} exec {uvr} "$@"\n')
    temporary.chmod(0o700)
    temporary.rename(directory / "uvr")


def check_given_store(config: LocalConfig) -> None:
    """Raises LocalError if the bucket is missing or the keys are refused, since no retry would help."""
    environment = program_environment.of_program(config, "uploader", config.environment())
    command = [sys.executable, "-m", "uploader.bucket_check"]
    check = subprocess.run(command, cwd=config.root, env=environment, capture_output=True, text=True)
    if check.returncode != 0:
        lines = check.stderr.strip().splitlines() or [f"exit code {check.returncode}"]
        raise LocalError(lines[-1].removeprefix("cannot start: "))


def prepare_broker(config: LocalConfig, say: Callable[[str], None]) -> None:
    """Prepares the stack's Kafka; `say` gets a line of progress every 2 s. Raises LocalError."""
    try:
        broker.prepare(config.broker, progress=_at_intervals(say))
    except broker.BrokerError as error:
        raise LocalError(str(error)) from error
    except OSError as error:
        raise LocalError(f"Kafka cannot be prepared: {error}") from error


def _at_intervals(say: Callable[[str], None], every_s: float = 2) -> Callable[[str], None]:
    """Returns a function that passes on the first line, then at most one every `every_s`."""
    last = -math.inf

    def say_at_intervals(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            say(line)

    return say_at_intervals
