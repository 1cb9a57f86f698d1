"""The processor with a stand-in engine that takes its time: both stems are half of the mix.

ENGINE_SLEEP_S=60 python -m tests.support.processor.slow_processor

With KILLING_SONG_S=3 a song of three seconds kills the processor, as it would by its whole memory.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import soundfile

from common.waiting import StopCheck
from processor import __main__ as processor
from processor.engine.protocol import EngineConfig, Separation, StemFile
from tests.support.processor.stand_in_engine import StandInEngine


class SlowEngine(StandInEngine):
    """Sleeps for ENGINE_SLEEP_S, then writes the stems."""

    def __init__(self, config: EngineConfig):
        super().__init__(config)
        self._sleep_s = float(os.environ["ENGINE_SLEEP_S"])
        self._killing_s = float(os.environ.get("KILLING_SONG_S", "-1"))

    def separate(
        self,
        source: Path,
        target_dir: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ) -> Separation:
        if round(soundfile.info(source).duration) == self._killing_s:
            os.kill(os.getpid(), signal.SIGKILL)
        self.work(self._sleep_s, check)
        on_progress(0.5)
        mix, rate = soundfile.read(source, dtype="float32")
        stems = {}
        for name in ("vocals", "instrumental"):
            path = target_dir / f"{name}.wav"
            soundfile.write(path, mix / 2, rate)
            stems[name] = StemFile(path, len(mix), len(mix) / rate)
        return Separation(stems, 1.0, "stand-in", "cpu")


if __name__ == "__main__":
    sys.exit(processor.main(SlowEngine))
