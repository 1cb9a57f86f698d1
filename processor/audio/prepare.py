"""Turns a download into the mix that the engine takes, decoded in a limited child process."""

import json
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from common.errors import ErrorCode, JobError, PermanentError, TransientError
from common.waiting import DeadlineExceeded, StopCheck, deadline_check
from processor import child_process
from processor.audio.cover import Cover
from processor.audio.wav import MAX_RATE_HZ, SAMPLE_RATE, frame_bytes
from processor.audio.window import WHOLE_SONG, Window
from processor.child_process import Channel, Child, JsonObject, Spawn, spawn_for_song

_TICK_S = 0.05
# A decoder may take four times its CPU time by the clock, because other jobs share the CPUs.
_WALL_FACTOR = 4


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
    def for_audio(cls, limits: AudioLimits, keep_source: bool = False) -> "DecoderLimits":
        """Return limits that are enough for every song within `limits`, also at its own rate if kept."""
        most_hz = MAX_RATE_HZ if keep_source else SAMPLE_RATE
        # Decoding takes less than a hundredth of the song's length; a tenth means that it will not end.
        return cls(
            memory_bytes=2 << 30,
            cpu_s=int(60 + 0.1 * limits.max_duration_s),
            file_bytes=int((limits.max_duration_s + 1) * most_hz) * frame_bytes("float32") + (1 << 20),
        )


@dataclass(frozen=True)
class PreparedSource:
    """The song in a stereo float32 WAV file of `frames` at `rate` in Hz: its own rate, or 44.1 kHz.

    `tags` are the texts that are kept, by FFmpeg's names; `cover` is the song's picture.
    """

    path: Path
    rate: int
    frames: int
    tags: Mapping[str, str] = field(default_factory=dict)
    cover: Cover | None = None

    def frames_at(self, rate: int) -> int:
        """Return how many frames the song has at `rate` in Hz: its length, rounded, and at least one."""
        return max(1, (2 * self.frames * rate + self.rate) // (2 * self.rate))


@dataclass(frozen=True)
class PreparedAudio:
    """A 44.1 kHz stereo float32 WAV file of `frames`; `peak` is its largest absolute sample.

    `codec`, `container`, `source_rate` (in Hz) and `source_channels` describe the download. `source` is the
    song as finished stems are made from it.
    """

    path: Path
    frames: int
    duration_s: float
    peak: float
    codec: str
    container: str
    source_rate: int
    source_channels: int
    source: PreparedSource


def prepare(
    source: Path,
    target: Path,
    limits: AudioLimits,
    check: StopCheck,
    decoder_limits: DecoderLimits | None = None,
    clock: Callable[[], float] = time.monotonic,
    *,
    window: Window = WHOLE_SONG,
    keep_source: bool = False,
    keep_tags: bool = False,
    spawn: Spawn = spawn_for_song,
) -> PreparedAudio:
    """Decode the `window` of `source` to `target`; after an error there is no `target`.

    With `keep_source`, write the song at its own rate too; with `keep_tags`, its cover. Both files are beside
    `target`.

    `spawn` starts the decoder. Calls `check` several times a second, which may raise to stop.

    Raises PermanentError (empty_file, not_audio, format_unsupported, no_audio_stream, too_long,
    too_many_channels, truncated_audio, window_empty), TransientError (disk_full, out_of_memory,
    internal_error), and what `check` raises.
    """
    within = decoder_limits or DecoderLimits.for_audio(limits, keep_source)
    own = target.with_name(f"{target.stem}.own.wav") if keep_source else None
    request = {
        "source": str(source.resolve()),
        "target": str(target.resolve()),
        "own": str(own.resolve()) if own else None,
        "window": asdict(window),
        "keep_tags": keep_tags,
        "limits": asdict(limits),
        "process": asdict(within),
    }
    stop_check = deadline_check(within.wall_s, check, clock)
    complete = False
    try:
        answer = _converse([json.dumps(request)], stop_check, spawn)
        complete = True
    except DeadlineExceeded:
        message = f"The decoder hung: it was not done after {within.wall_s} s"
        raise TransientError(ErrorCode.INTERNAL_ERROR, message) from None
    finally:
        if not complete:
            _remove(target, own)
    kept = _source(target, own, answer)
    return PreparedAudio(path=target, duration_s=answer["frames"] / SAMPLE_RATE, source=kept, **answer)


def _remove(target: Path, own: Path | None) -> None:
    for path in (target, own or target, *target.parent.glob(f"{target.stem}.cover.*")):
        path.unlink(missing_ok=True)


def _source(target: Path, own: Path | None, answer: JsonObject) -> PreparedSource:
    """Take what describes the kept source out of the decoder's answer."""
    rate, frames, tags = answer.pop("own_rate"), answer.pop("own_frames"), answer.pop("tags")
    source = (
        PreparedSource(own, rate, frames) if own else PreparedSource(target, SAMPLE_RATE, answer["frames"])
    )
    if not tags:
        return source
    return replace(source, tags=tags["texts"], cover=Cover(**tags["cover"]) if tags["cover"] else None)


def _converse(arguments: list[str], check: StopCheck, spawn: Spawn) -> JsonObject:
    """Run the decoder's process; return the fields of `Decoded`."""
    process, channel = _spawned(arguments, spawn)
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
        raise _ended(process.wait(), decoding) from None
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


def _spawned(arguments: list[str], spawn: Spawn) -> tuple[Child, Channel]:
    try:
        return spawn("processor.audio.decoder_process", arguments)
    except OSError as error:
        raise TransientError(ErrorCode.INTERNAL_ERROR, f"Cannot start the decoder: {error}") from None
