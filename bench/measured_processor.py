"""Runs the processor with an engine that records when it works.

    ENGINE_SPANS=FILE python -m bench.measured_processor

FILE gets a line of JSON for each song that the engine separated: `[from, until]` in seconds since the epoch.
With ENGINE_SLEEP_S the engine is a stand-in that sleeps, and takes one song at a time as the real one does.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from processor import __main__ as processor
from processor.engine.engine import Engine
from processor.engine.protocol import Separation
from tests.support.processor.slow_processor import SlowEngine

Span = tuple[float, float]


def spans(path: Path) -> list[Span]:
    """Return the spans recorded in `path` so far, in order."""
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def _note(began_s: float) -> None:
    with open(os.environ["ENGINE_SPANS"], "a") as file:
        file.write(json.dumps([began_s, time.time()]) + "\n")


class MeasuredEngine(Engine):
    def _run(self, *arguments) -> Separation:
        """Separate one song and record the time; the wait for the turn is over before."""
        began_s = time.time()
        separation = super()._run(*arguments)
        _note(began_s)
        return separation


class SleepingEngine(SlowEngine):
    def __init__(self, config):
        super().__init__(config)
        self._turn = threading.Lock()

    def separate(self, source, target_dir, check, on_progress) -> Separation:
        with self._turn:
            began_s = time.time()
            separation = super().separate(source, target_dir, check, on_progress)
            _note(began_s)
            return separation


if __name__ == "__main__":
    sys.exit(processor.main(SleepingEngine if "ENGINE_SLEEP_S" in os.environ else MeasuredEngine))
