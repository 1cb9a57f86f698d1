"""The processor with its real engine, whose process some songs kill: told by how long they last.

DEADLY='{"3": "SIGSEGV", "4": "SIGKILL"}' python -m tests.support.processor.deadly_processor
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import soundfile

from common.waiting import StopCheck
from processor import __main__ as processor
from processor.engine.engine import Engine
from processor.engine.protocol import Separation


class DeadlyEngine(Engine):
    """At its first progress with such a song the engine's process gets that song's signal."""

    def separate(
        self, source: Path, target_dir: Path, check: StopCheck, on_progress: Callable[[float], None]
    ) -> Separation:
        name = json.loads(os.environ["DEADLY"]).get(str(round(soundfile.info(source).duration)))

        def on_deadly_progress(fraction: float) -> None:
            on_progress(fraction)
            if name:
                os.kill(self.pid, signal.Signals[name])

        return super().separate(source, target_dir, check, on_deadly_progress)


if __name__ == "__main__":
    sys.exit(processor.main(DeadlyEngine))
