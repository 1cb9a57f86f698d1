"""Turns the float stems of a song into the files that its user asked for, in a child process."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import ErrorCode, PermanentError, TransientError
from common.tasks.messages import WrittenOutput
from common.tasks.messages.choices import target_lufs
from common.waiting import DeadlineExceeded, StopCheck, deadline_check
from processor import child_process
from processor.audio.prepare import PreparedSource
from processor.child_process import Channel, Child, JsonObject, Spawn, spawn_for_song
from processor.engine.protocol import StemFile
from processor.output.resolved import ResolvedOutput
from processor.output.writing_job import WritingJob
from processor.separation.loaded_model import Residual

_TICK_S = 0.05


@dataclass(frozen=True)
class FloatStems:
    """The stems of a song: float32 stereo WAV files at 44.1 kHz by name, neither scaled nor clipped.

    The stem `residual.name` has no file: it is the rest of the song, or of the file `rest_of` where a later
    step took an earlier stem apart.
    """

    paths: Mapping[str, Path]
    residual: Residual | None = None
    rest_of: Path | None = None


@dataclass(frozen=True)
class Finished:
    """The finished stems by name. `gain` was applied to all of them; `output` is how they were written."""

    stems: dict[str, StemFile]
    gain: float
    output: WrittenOutput


def finish(
    stems: FloatStems,
    source: PreparedSource,
    wanted: ResolvedOutput,
    names: tuple[str, ...] | None,
    target_dir: Path,
    check: StopCheck,
    on_progress: Callable[[float], None],
    clock: Callable[[], float] = time.monotonic,
    spawn: Spawn = spawn_for_song,
) -> Finished:
    """Write `<stem>.<format>` into `target_dir` for the stems `names`, or for all where it is None.

    At the song's own rate each file has the song's number of frames. A residual and the stem that it goes
    with add up to gain × the song, within 1 LSB of the files' depth.

    `spawn` starts the writer. Calls `check` several times a second, which may raise to stop, and
    `on_progress` with 0 to 1. After an error there is no new file. Raises PermanentError (stem_unknown),
    TransientError (disk_full, out_of_memory, internal_error), and what `check` raises.
    """
    job = plan(stems, source, wanted, names, target_dir)
    complete = False
    limit_s = _limit_s(job)
    try:
        gain = _converse(job, deadline_check(limit_s, check, clock), on_progress, spawn)
        complete = True
    except DeadlineExceeded:
        message = f"Writing the stems hung: it was not done after {limit_s:.0f} s"
        raise TransientError(ErrorCode.INTERNAL_ERROR, message) from None
    finally:
        if not complete:
            for name in job.wanted:
                job.part(name).unlink(missing_ok=True)
                job.path(name).unlink(missing_ok=True)
            job.peaks_path.unlink(missing_ok=True)
    return result(job, gain)


def plan(
    stems: FloatStems,
    source: PreparedSource,
    wanted: ResolvedOutput,
    names: tuple[str, ...] | None,
    target_dir: Path,
) -> WritingJob:
    """Return what the writing process must do (see `finish`). Raises PermanentError (stem_unknown)."""
    rate = wanted.rate_hz(source.rate)
    residual = (stems.residual.name, stems.residual.of) if stems.residual else None
    there = (*stems.paths, residual[0]) if residual else tuple(stems.paths)
    if unknown := sorted(set(names or ()) - set(there)):
        message = f"There is no stem {', '.join(unknown)}: the stems are {', '.join(there)}"
        raise PermanentError(ErrorCode.STEM_UNKNOWN, message)
    return WritingJob(
        stems={name: str(path.resolve()) for name, path in stems.paths.items()},
        residual=residual,
        whole=str((stems.rest_of or source.path).resolve()),
        song=str(source.path.resolve()),
        wanted=tuple(name for name in there if names is None or name in names),
        target_dir=str(target_dir.resolve()),
        rate=rate,
        frames=source.frames_at(rate),
        format=wanted.format,
        bit_depth=wanted.bit_depth,
        bitrate_kbps=wanted.bitrate_at(rate),
        normalize=wanted.normalize,
        target_lufs=target_lufs(wanted.normalize),
        tags=source.tags if wanted.keep_tags else {},
        cover=source.cover if wanted.keep_tags else None,
    )


def _limit_s(job: WritingJob) -> float:
    """Return the seconds that writing may take by the clock, so that a process which hangs ends too."""
    return 60 + len(job.wanted) * job.frames / job.rate


def result(job: WritingJob, gain: float) -> Finished:
    """Return the result of a job that is done."""
    duration_s = job.frames / job.rate
    files = {name: StemFile(job.path(name), job.frames, duration_s) for name in job.wanted}
    written = WrittenOutput(
        format=job.format,
        sample_rate_hz=job.rate,
        bit_depth=job.bit_depth,
        bitrate_kbps=job.bitrate_kbps,
        normalize=job.normalize,
    )
    return Finished(files, gain, written)


def _converse(job: WritingJob, check: StopCheck, on_progress: Callable[[float], None], spawn: Spawn) -> float:
    """Run the writing process; return the gain."""
    process, channel = _spawned(spawn)
    try:
        answer = _await_answer(channel, job, check, on_progress)
    except child_process.ChannelClosed:
        raise _ended(process.wait()) from None
    finally:
        child_process.kill(process)
        channel.close()
    if answer["code"] is None:
        gain: float = answer["gain"]
        return gain
    kind = PermanentError if answer["permanent"] else TransientError
    raise kind(ErrorCode(answer["code"]), answer["message"])


def _await_answer(
    channel: Channel, job: WritingJob, check: StopCheck, on_progress: Callable[[float], None]
) -> JsonObject:
    channel.send(job.to_json())
    while True:
        check()
        message = channel.receive(_TICK_S)
        if message is None:
            continue
        if "progress" not in message:
            return message
        on_progress(message["progress"])


def _ended(returncode: int) -> TransientError:
    # Nobody but the kernel, or an operator, sends SIGKILL: memory has run out.
    code = ErrorCode.OUT_OF_MEMORY if child_process.was_killed(returncode) else ErrorCode.INTERNAL_ERROR
    return TransientError(code, f"The writer of the stems died: {child_process.how_it_ended(returncode)}")


def _spawned(spawn: Spawn) -> tuple[Child, Channel]:
    try:
        return spawn("processor.output.process", [])
    except OSError as error:
        raise TransientError(ErrorCode.INTERNAL_ERROR, f"Cannot start the writer: {error}") from None
