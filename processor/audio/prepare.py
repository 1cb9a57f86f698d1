"""Turns a download into the mix that the engine takes, decoded in a limited child process."""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from common.errors import ErrorCode, JobError, PermanentError, TransientError
from common.waiting import DeadlineExceeded, StopCheck, deadline_check
from processor import child_process
from processor.audio.wav import SAMPLE_RATE, frame_bytes
from processor.child_process import Channel, JsonObject

_TICK_S = 0.05
# A decoder may take four times its CPU time by the clock, because other jobs share the CPUs.
_WALL_FACTOR = 4
# One thread: decoding is serial, and each thread of a numeric library takes from the memory limit.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class AudioLimits:
    """The longest song in seconds, and the most channels, that are accepted."""

    max_duration_s: float
    max_channels: int


@dataclass(frozen=True)
class DecoderLimits:
    """Limits of the decoder's process; `file_bytes` is the size of the largest file that it may write."""

    memory_bytes: int
    cpu_s: int
    file_bytes: int

    @property
    def wall_s(self) -> int:
        """The seconds that decoding may take by the clock, so that a process which hangs ends too."""
        return self.cpu_s * _WALL_FACTOR

    @classmethod
    def for_audio(cls, limits: AudioLimits) -> "DecoderLimits":
        """Return limits that are enough for every song within `limits`."""
        # Decoding takes less than a hundredth of the song's length; a tenth means that it will not end.
        return cls(
            memory_bytes=2 << 30,
            cpu_s=int(60 + 0.1 * limits.max_duration_s),
            file_bytes=int((limits.max_duration_s + 1) * SAMPLE_RATE) * frame_bytes("float32") + (1 << 20),
        )


@dataclass(frozen=True)
class PreparedAudio:
    """A 44.1 kHz stereo float32 WAV file of `frames`; `peak` is its largest absolute sample.

    `codec`, `container`, `source_rate` (in Hz) and `source_channels` describe the download.
    """

    path: Path
    frames: int
    duration_s: float
    peak: float
    codec: str
    container: str
    source_rate: int
    source_channels: int


def prepare(
    source: Path,
    target: Path,
    limits: AudioLimits,
    check: StopCheck,
    decoder_limits: DecoderLimits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> PreparedAudio:
    """Decode `source` to `target`; after an error there is no `target`.

    Calls `check` several times a second, which may raise to stop. Raises PermanentError (empty_file,
    not_audio, format_unsupported, no_audio_stream, too_long, too_many_channels, truncated_audio),
    TransientError (disk_full, out_of_memory, internal_error), and what `check` raises.
    """
    within = decoder_limits or DecoderLimits.for_audio(limits)
    arguments = [source.resolve(), target.resolve(), *astuple(limits), *astuple(within)]
    stop_check = deadline_check(within.wall_s, check, clock)
    complete = False
    try:
        answer = _converse([str(argument) for argument in arguments], stop_check)
        complete = True
    except DeadlineExceeded:
        message = f"The decoder hung: it was not done after {within.wall_s} s"
        raise TransientError(ErrorCode.INTERNAL_ERROR, message) from None
    finally:
        if not complete:
            target.unlink(missing_ok=True)
    return PreparedAudio(path=target, duration_s=answer["frames"] / SAMPLE_RATE, **answer)


def _converse(arguments: list[str], check: StopCheck) -> JsonObject:
    """Run the decoder's process; return the fields of `Decoded`."""
    process, channel = _spawn(arguments)
    decoding, answer = False, None
    try:
        while answer is None:
            check()
            message = channel.receive(_TICK_S)
            if message and "ready" in message:
                decoding = True
            else:
                answer = message
    except child_process.ChannelClosed:
        process.wait()
        raise _ended(process.returncode, decoding) from None
    finally:
        child_process.kill(process)
        channel.close()
    code = answer.pop("code")
    if code is None:
        return answer
    kind = PermanentError if answer["permanent"] else TransientError
    raise kind(ErrorCode(code), answer["message"])


def _ended(returncode: int, decoding: bool) -> JobError:
    how = child_process.how_it_ended(returncode)
    if returncode == -signal.SIGKILL:
        # The process's own limits do not send SIGKILL: the machine or the container ran out of memory.
        return TransientError(ErrorCode.OUT_OF_MEMORY, f"The decoder was {how}")
    if not decoding:
        return TransientError(ErrorCode.INTERNAL_ERROR, f"The decoder did not start: {how}")
    return PermanentError(
        ErrorCode.NOT_AUDIO, f"The file is not audio that we can read: its decoder ended with {how}"
    )


def _spawn(arguments: list[str]) -> tuple[subprocess.Popen[bytes], Channel]:
    try:
        return child_process.spawn("processor.audio.decoder_process", arguments, _ENVIRONMENT)
    except OSError as error:
        raise TransientError(ErrorCode.INTERNAL_ERROR, f"Cannot start the decoder: {error}") from None
