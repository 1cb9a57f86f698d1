"""The processor with a stand-in engine: quick, and its stems are known beforehand.

python -m soak.quick_processor

SIGUSR1 makes it write what each of its threads does to standard error.
"""

import faulthandler
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import soundfile

from common.waiting import StopCheck
from processor import __main__ as processor
from processor.engine.protocol import Separation, StemFile
from soak.songs import RATE, stem_names, write_stems
from tests.support.processor.stand_in_engine import StandInEngine

# Long enough to be hit by a kill, short enough for a thousand.
_WORK_PER_SONG = 0.6
_MAX_WORK_S = 4.0


class QuickEngine(StandInEngine):
    """Takes a share of the song's length, then writes the stems."""

    def separate(
        self,
        source: Path,
        target_dir: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ) -> Separation:
        mix, _ = soundfile.read(source, dtype="float32")
        duration_s = len(mix) / RATE
        self.work(min(_WORK_PER_SONG * duration_s, _MAX_WORK_S), check)
        paths = {name: target_dir / f"{name}.wav" for name in stem_names()}
        write_stems(mix, paths)
        stems = {name: StemFile(path, len(mix), duration_s) for name, path in paths.items()}
        return Separation(stems, 1.0, "stand-in", "cpu")


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    sys.exit(processor.main(QuickEngine))
