"""Writes a decoded song at the models' 44.1 kHz and, where asked, at its own rate too."""

from pathlib import Path
from types import TracebackType

from common.errors import ErrorCode, PermanentError
from processor.audio.containers.audio_kind import not_audio
from processor.audio.resample import Frames, Resampler
from processor.audio.stereo import Block
from processor.audio.wav import SAMPLE_RATE, WavWriter

_TOLERANCE_S = 0.05
# +40 dB of full scale: no music is so loud, but a file that is misread easily is.
_MOST_PEAK = 100.0


class SongFiles:
    """The float32 WAV files of one song; leaving the context completes them.

    `frames` counts those at 44.1 kHz and `peak` is their largest absolute sample, 1.0 being full scale. The
    file `own` has the rate of the song's first block, `own_rate` in Hz, and `own_frames` frames.
    """

    def __init__(self, mix: Path, own: Path | None, max_duration_s: float):
        """Create the file `mix`; `own` is created with the first block. Raises OSError."""
        self._mix = WavWriter(mix, "float32")
        self._own_path = own
        self._max_duration_s = max_duration_s
        self._to_mix: Resampler | None = None
        self._to_own: Resampler | None = None
        self.peak = 0.0
        self.own_rate = 0
        self._own_writer: WavWriter | None = None

    @property
    def frames(self) -> int:
        return self._mix.written

    @property
    def own_frames(self) -> int:
        return self._own_writer.written if self._own_writer else 0

    def write(self, block: Block) -> None:
        """Write the next block. Raises PermanentError (too_long, not_audio) and OSError."""
        if self._to_mix is None or block.rate != self._to_mix.rate:
            self.end_part()
            self._begin_part(block.rate)
        assert self._to_mix is not None, "the part has begun"
        self._put(self._to_mix.convert(block.samples))
        if self._own_writer and self._to_own:
            self._own_writer.write(self._to_own.convert(block.samples))

    def end_part(self) -> None:
        """Write what the resamplers hold back; the next block may have another rate. Raises as `write`."""
        if self._to_mix:
            self._put(self._to_mix.finish())
        if self._own_writer and self._to_own:
            self._own_writer.write(self._to_own.finish())
        self._to_mix = self._to_own = None

    def too_long(self) -> PermanentError:
        """Return the error for a song that is longer than allowed."""
        return PermanentError(ErrorCode.TOO_LONG, f"The audio is longer than {self._max_duration_s:g} s")

    def _begin_part(self, rate: int) -> None:
        self._to_mix = Resampler(rate)
        self.own_rate = self.own_rate or rate
        if self._own_path and not self._own_writer:
            self._own_writer = WavWriter(self._own_path, "float32", rate=self.own_rate)
        self._to_own = Resampler(rate, self.own_rate)

    def _put(self, samples: Frames) -> None:
        if not len(samples):
            return
        most = self._max_duration_s * SAMPLE_RATE
        if self.frames + len(samples) > int(most) + SAMPLE_RATE * _TOLERANCE_S:
            raise self.too_long()
        self.peak = max(self.peak, float(samples.max()), -float(samples.min()))
        if self.peak > _MOST_PEAK:
            raise not_audio(
                f"its samples reach {self.peak:.4g} times full scale, which no music does: it is damaged, "
                "or its samples have another format than its header says"
            )
        self._mix.write(samples)

    def __enter__(self) -> "SongFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mix.close()
        if self._own_writer:
            self._own_writer.close()
