"""Writes the stems of one song, in constant memory.

The stems are read twice: once for the gain that all of them get, and once to write them. Resampling costs
a thousandth of the song's length, so that reading again is cheaper than a spool file of the whole song.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from common.errors import ErrorCode, TransientError
from processor.audio.peaks import Peaks
from processor.audio.resample import Frames
from processor.audio.wav import CHANNELS
from processor.output import levels, stem_file
from processor.output.loudness import integrated_lufs
from processor.output.rate_reader import RateReader
from processor.output.writing_job import WritingJob

_BLOCK_FRAMES = 1 << 14
# Measuring is this share of the progress; writing is the rest.
_MEASURING_SHARE = 0.2

Report = Callable[[float], None]


def write(job: WritingJob, report: Report) -> float:
    """Write `<stem>.<format>` for every wanted stem and their peaks, or nothing; return the gain of all.

    `report` gets the progress, 0 to 1. Raises TransientError: internal_error for stems that hold NaN,
    disk_full where the files will hardly fit. Raises OSError.
    """
    _require_space(job)
    gain = _gain(job, lambda fraction: report(_MEASURING_SHARE * fraction))
    parts = {name: job.part(name) for name in job.wanted}
    try:
        _write_parts(job, gain, lambda done: report(_MEASURING_SHARE + (1 - _MEASURING_SHARE) * done))
        for name, part in parts.items():
            part.rename(job.path(name))
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    report(1.0)
    return gain


def _require_space(job: WritingJob) -> None:
    """Raise TransientError (disk_full) before hours of work where the files will not fit."""
    # Lossy files are smaller than 16 bits for each sample.
    needed = len(job.wanted) * job.frames * CHANNELS * (job.bit_depth or 16) // 8
    free = shutil.disk_usage(job.target_dir).free
    if free < needed:
        message = f"Disk full: the stems need {needed} bytes, {free} are free"
        raise TransientError(ErrorCode.DISK_FULL, message)


def _gain(job: WritingJob, report: Report) -> float:
    """Return the gain of all stems; 32-bit stems are never scaled."""
    if job.bit_depth == 32:
        return 1.0
    peaks = dict.fromkeys(job.names, 0.0)
    for blocks in _blocks(job, job.names, lambda fraction: report(fraction / 2)):
        peaks = {name: max(peak, float(np.abs(blocks[name]).max())) for name, peak in peaks.items()}
    if job.normalize == "peak":
        return levels.at_peak(peaks, job.wanted)
    if job.target_lufs is not None:
        lufs = integrated_lufs(Path(job.song), lambda fraction: report(0.5 + fraction / 2))
        return levels.at_loudness(peaks, lufs, job.target_lufs)
    return levels.unclipped(peaks)


def _write_parts(job: WritingJob, gain: float, report: Report) -> None:
    peaks = Peaks(job.wanted, job.frames, job.rate)
    with ExitStack() as stack:
        # LAME encodes 25 s of sound in a second: the stems are encoded side by side.
        pool = stack.enter_context(ThreadPoolExecutor(min(len(job.wanted), len(os.sched_getaffinity(0)))))
        writers = {name: stack.enter_context(stem_file.create(job, name)) for name in job.wanted}
        for blocks in _blocks(job, job.wanted, report):
            writing = [pool.submit(writer.write, blocks[name], gain) for name, writer in writers.items()]
            wait(writing)  # all of them: a file must not be closed while a thread writes to it
            for one in writing:
                one.result()
            for name in job.wanted:
                peaks.add(name, blocks[name] * np.float32(gain))
    peaks.write(job.peaks_path)


def _blocks(job: WritingJob, names: tuple[str, ...], report: Report) -> Iterator[Mapping[str, Frames]]:
    """Yield the stems at the files' rate, block by block: float32 [frame, 2] by name."""
    residual = job.residual if job.residual and job.residual[0] in names else None
    needed = {name for name in names if name in job.stems} | ({residual[1]} if residual else set())
    readers = {name: RateReader(Path(job.stems[name]), job.rate, job.frames) for name in needed}
    whole = RateReader(Path(job.whole), job.rate, job.frames) if residual else None
    for start in range(0, job.frames, _BLOCK_FRAMES):
        blocks = {name: reader.read(_BLOCK_FRAMES) for name, reader in readers.items()}
        if residual and whole:
            blocks[residual[0]] = whole.read(_BLOCK_FRAMES) - blocks[residual[1]]
        if not all(np.isfinite(block).all() for block in blocks.values()):
            raise TransientError(ErrorCode.INTERNAL_ERROR, "a stem holds NaN or infinite samples")
        yield blocks
        report(min(1.0, (start + _BLOCK_FRAMES) / job.frames))
