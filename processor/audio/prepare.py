"""A download becomes the mix that the engine takes: probed, bounded, decoded in a limited child process."""

import signal
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from common.errors import ErrorCode, JobError, PermanentError, TransientError
from common.waiting import DeadlineExceeded, deadline_check
from processor import child_process
from processor.audio.wav import SAMPLE_RATE, frame_bytes

_TICK_S = 0.05
# Other jobs want the CPUs too: a decoder that gets a quarter of one is still in time.
_WALL_FACTOR = 4
# One thread: the work is serial, and each thread of a numeric library counts against the memory limit.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class AudioLimits:
    max_duration_s: float
    max_channels: int


@dataclass(frozen=True)
class DecoderLimits:
    """What the decoder's process may use. `file_bytes` is for the largest file that it writes."""

    memory_bytes: int
    cpu_s: int
    file_bytes: int

    @property
    def wall_s(self) -> int:
        """How long it may take by the clock, which also ends one that hangs without using its CPU time."""
        return self.cpu_s * _WALL_FACTOR

    @classmethod
    def for_audio(cls, limits: AudioLimits) -> "DecoderLimits":
        """Enough for every song within `limits`."""
        # Decoding runs at hundreds of times real time; what needs more than a tenth of it does not end.
        return cls(
            memory_bytes=2 << 30,
            cpu_s=int(60 + 0.1 * limits.max_duration_s),
            file_bytes=int((limits.max_duration_s + 1) * SAMPLE_RATE) * frame_bytes("float32") + (1 << 20),
        )


@dataclass(frozen=True)
class PreparedAudio:
    """A 44.1 kHz stereo float32 WAV of `frames`; `peak` is its largest absolute sample.

    `codec`, `container`, `source_rate` and `source_channels` tell what the download was.
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
    check: Callable[[], None],
    decoder_limits: DecoderLimits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> PreparedAudio:
    """Decodes `source` to `target`; after an error, `target` is not there.

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


def _converse(arguments: list[str], check: Callable[[], None]) -> dict:
    process, link = _spawn(arguments)
    decoding, answer = False, None
    try:
        while answer is None:
            check()
            message = link.receive(_TICK_S)
            if message and "ready" in message:
                decoding = True
            else:
                answer = message
    except child_process.LinkClosed:
        process.wait()
        raise _ended(process.returncode, decoding) from None
    finally:
        child_process.kill(process)
        link.close()
    code = answer.pop("code")
    if code is None:
        return answer
    kind = PermanentError if answer["permanent"] else TransientError
    raise kind(ErrorCode(code), answer["message"])


def _ended(returncode: int, decoding: bool) -> JobError:
    how = child_process.how_it_ended(returncode)
    if returncode == -signal.SIGKILL:
        # None of its own limits does that: the kernel was short of memory, whoever used it up.
        return TransientError(ErrorCode.OUT_OF_MEMORY, f"The decoder was {how}")
    if not decoding:
        return TransientError(ErrorCode.INTERNAL_ERROR, f"The decoder did not start: {how}")
    return PermanentError(
        ErrorCode.NOT_AUDIO, f"The file is not audio that we can read: its decoder ended with {how}"
    )


def _spawn(arguments: list[str]):
    try:
        return child_process.spawn("processor.audio.decoder_process", arguments, _ENVIRONMENT)
    except OSError as error:
        raise TransientError(ErrorCode.INTERNAL_ERROR, f"Cannot start the decoder: {error}") from None
