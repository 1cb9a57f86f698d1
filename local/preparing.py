"""Makes everything ready that the local stack needs before it starts."""

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
    """Puts `ffmpeg` and `uvr` into the stack's PATH. (The wheel's ffmpeg has its version in its name.)"""
    directory = config.directory / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".ffmpeg-{os.getpid()}"
    temporary.symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    temporary.rename(directory / "ffmpeg")
    # -P: what is called `uvr_client` in the caller's directory is not ours.
    uvr = shlex.join([sys.executable, "-P", "-m", "uvr_client"])
    temporary = directory / f".uvr-{os.getpid()}"
    project = shlex.quote(str(config.root / "client"))
    temporary.write_text(f'#!/bin/sh\nPYTHONPATH={project} exec {uvr} "$@"\n')
    temporary.chmod(0o700)
    temporary.rename(directory / "uvr")


def check_given_store(config: LocalConfig) -> None:
    """Raises LocalError where the bucket is missing or the keys are refused: no waiting mends that."""
    environment = program_environment.of_program(config, "uploader", config.environment())
    command = [sys.executable, "-m", "uploader.bucket_check"]
    asked = subprocess.run(command, cwd=config.root, env=environment, capture_output=True, text=True)
    if asked.returncode != 0:
        lines = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        raise LocalError(lines[-1].removeprefix("cannot start: "))


def prepare_broker(config: LocalConfig, tell: Callable[[str], None]) -> None:
    try:
        broker.prepare(config.broker, progress=_now_and_then(tell))
    except broker.BrokerError as error:
        raise LocalError(str(error)) from error


def _now_and_then(tell: Callable[[str], None], every_s: float = 2) -> Callable[[str], None]:
    """Lets the first line through, and then one every `every_s`."""
    last = -math.inf

    def maybe(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            tell(line)

    return maybe
