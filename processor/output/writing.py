"""Writes the stems of one song, in constant memory.

The stems are read twice: once for the gain that all of them get, and once to write them. Resampling costs
a thousandth of the song's length, so that reading again is cheaper than a spool file of the whole song.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from common.errors import ErrorCode, TransientError
from processor.audio.resample import Frames
from processor.audio.stem_writer import MAX_LEVEL
from processor.output import stem_file
from processor.output.rate_reader import RateReader
from processor.output.writing_job import WritingJob

_BLOCK_FRAMES = 1 << 14
# Measuring is this share of the progress; writing is the rest.
_MEASURING_SHARE = 0.2

Report = Callable[[float], None]


def write(job: WritingJob, report: Report) -> float:
    """Write `<stem>.<format>` for every wanted stem, or nothing; return the gain that all of them got.

    `report` gets the progress, 0 to 1. Raises TransientError (internal_error) for stems that hold NaN, and
    OSError.
    """
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


def _gain(job: WritingJob, report: Report) -> float:
    """Return 1, or less where a stem would clip; 32-bit stems are never scaled."""
    if job.bit_depth == 32:
        return 1.0
    loudest = 0.0
    for blocks in _blocks(job, job.names, report):
        loudest = max(loudest, *(float(np.abs(block).max()) for block in blocks.values()))
    return min(1.0, MAX_LEVEL / loudest) if loudest > 0 else 1.0


def _write_parts(job: WritingJob, gain: float, report: Report) -> None:
    with ExitStack() as stack:
        writers = {name: stack.enter_context(stem_file.create(job, name)) for name in job.wanted}
        for blocks in _blocks(job, job.wanted, report):
            for name, writer in writers.items():
                writer.write(blocks[name], gain)


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
