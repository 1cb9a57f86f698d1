"""Separates a prepared mix into stem files, in constant memory.

Networks are not linear in level, so each gets the mix scaled to one peak, and its answer is scaled back.
(Demucs and VR also normalise the whole mix themselves, which the scaling does not disturb.) One stem may be
the mix minus an answer. Where a stem would clip, one gain below 1 is applied to all stems. The gain is known
after the last chunk, and a spool file holds the answers until then.

Stems that are finished later (see `processor.output`) are written as the model answers, as floats without a
gain.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from common.errors import ErrorCode, PermanentError, TransientError
from common.storage.stage_keys import PEAKS_FILE
from common.waiting import StopCheck
from processor.audio.peaks import Peaks
from processor.audio.stem_writer import MAX_LEVEL, Format, StemWriter, max_stem_bytes
from processor.audio.wav import CHANNELS, SAMPLE_RATE, WavWriter
from processor.separation.loaded_model import LoadedModel
from processor.separation.overlap_add import Mix, Read, Samples

NETWORK_PEAK = 0.9
# Below -180 dB of full scale nothing can be heard, and the factor to NETWORK_PEAK would leave float32.
_SILENCE = 1e-9
_BLOCK_FRAMES = 1 << 16
_FLOAT_FRAME_BYTES = 4 * CHANNELS
_SPARE_BYTES = 16 << 20
# The network is this share of the progress; writing the stems is the rest.
_NETWORK_SHARE = 0.95


class NotFinite(TransientError):
    """The model's answer holds NaN or infinite samples. Float32 may avoid them where it was not used."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.INTERNAL_ERROR, "the model's answer holds NaN or infinite samples")


@dataclass(frozen=True)
class Stems:
    """The stems that were written: `gain` is applied to all of them, and each has `frames` per channel."""

    names: tuple[str, ...]
    gain: float
    frames: int


@dataclass(frozen=True)
class _Job:
    """One mix under separation. `report` takes the progress, 0 to 1; `check` may raise to stop."""

    model: LoadedModel
    source: Path
    frames: int
    report: Callable[[float], None]
    check: StopCheck

    def open_mix(self, scale: float = 1.0) -> Read:
        """Return a reader of the mix × `scale`, float32 [2, n], at the beginning."""
        # No `with`: the file closes when nobody holds the reader any more.
        mix = soundfile.SoundFile(self.source)

        def read(count: int) -> Samples:
            self.check()
            samples: Samples = mix.read(count, dtype="float32", always_2d=True).T
            return samples * np.float32(scale)

        return read

    def blocks(self) -> Iterator[Samples]:
        """Yield the mix as float32 [n, 2]."""
        read = self.open_mix()
        while (block := read(_BLOCK_FRAMES)).size:
            yield np.ascontiguousarray(block.T)


def stem_path(directory: Path, name: str, format: Format) -> Path:
    """Return the path of the stem `name` that `separate` writes."""
    return directory / f"{name}.{format}"


def separate(
    model: LoadedModel,
    source: Path,
    target_dir: Path,
    format: Format,
    on_progress: Callable[[float], None],
    check: StopCheck,
) -> Stems:
    """Write `<stem>.<format>` into `target_dir` for every stem of `model.names` and their peaks, or nothing.

    `source` is a 44.1 kHz stereo WAV file; `on_progress` gets 0 to 1; `check` may raise to stop. Where one
    stem is the rest of the mix, all stems add up to gain × the mix, within 1 LSB of 16 bits.

    Raises TransientError (disk_full, out_of_memory, internal_error), PermanentError (not_audio), OSError, and
    what `check` raises.
    """
    job = _Job(model, source, _mix_frames(source), on_progress, check)
    spool_bytes = job.frames * _FLOAT_FRAME_BYTES * len(model.stems)
    _require_space(target_dir, spool_bytes + len(model.names) * max_stem_bytes(job.frames))
    with tempfile.TemporaryFile(dir=target_dir) as spool:  # has no name, so it goes with the process
        loudest = _spool_answers(job, spool)
        gain = min(1.0, MAX_LEVEL / loudest) if loudest > 0 else 1.0
        _write_stems(job, spool, gain, target_dir, format)
    on_progress(1.0)
    return Stems(model.names, gain, job.frames)


def separate_to_floats(
    model: LoadedModel,
    source: Path,
    target_dir: Path,
    on_progress: Callable[[float], None],
    check: StopCheck,
) -> Stems:
    """Write `<stem>.wav` into `target_dir` for every stem of `model.stems`, or nothing.

    The files are float32 WAV at 44.1 kHz: the model's answers at the mix's own level, neither scaled nor
    clipped. The residual gets no file. Takes and raises what `separate` does.
    """
    job = _Job(model, source, _mix_frames(source), on_progress, check)
    _require_space(target_dir, job.frames * _FLOAT_FRAME_BYTES * len(model.stems))
    parts = {name: target_dir / f"{name}.part" for name in model.stems}
    with _completed(parts, target_dir, "wav"), ExitStack() as stack:
        writers = [stack.enter_context(WavWriter(part, "float32", job.frames)) for part in parts.values()]
        for stems in _answers(job):
            for index, writer in enumerate(writers):
                writer.write(stems[:, index])
    on_progress(1.0)
    return Stems(model.stems, 1.0, job.frames)


def _mix_frames(source: Path) -> int:
    """Return the mix's frames. Raises PermanentError (not_audio) where it is not a prepared mix."""
    with soundfile.SoundFile(source) as mix:
        if (mix.samplerate, mix.channels) != (SAMPLE_RATE, CHANNELS):
            raise PermanentError(ErrorCode.NOT_AUDIO, "the mix is not 44.1 kHz stereo")
        frames: int = mix.frames
    return frames


def _require_space(directory: Path, stems_bytes: int) -> None:
    needed, free = stems_bytes + _SPARE_BYTES, shutil.disk_usage(directory).free
    if free < needed:
        raise TransientError(
            ErrorCode.DISK_FULL, f"Disk full: separation needs {needed} bytes, {free} are free"
        )


def _spool_answers(job: _Job, spool: BinaryIO) -> float:
    """Write the answers at the mix's own level to `spool`; return the largest absolute sample of all stems.

    The spool holds float32 [frame, stem, channel].
    """
    loudest = 0.0
    again = job.open_mix()
    for stems in _answers(job):
        all_stems = _with_residual(job.model, stems, again(len(stems)).T)
        loudest = max(loudest, *(float(np.abs(stem).max()) for stem in all_stems))
        spool.write(stems.tobytes())
    return loudest


def _answers(job: _Job) -> Iterator[Samples]:
    """Yield the answers at the mix's own level, float32 [frame, stem, channel]; zeros for a silent mix."""
    count = len(job.model.stems)
    peak = max((float(np.abs(block).max()) for block in job.blocks()), default=0.0)
    if peak < _SILENCE:
        for block in job.blocks():
            yield np.zeros((len(block), count, CHANNELS), np.float32)
        return
    scale = NETWORK_PEAK / peak
    done = 0
    for answer in job.model.estimate(Mix(job.frames, lambda: job.open_mix(scale))):
        stems = np.ascontiguousarray(answer.transpose(2, 0, 1), np.float32) * np.float32(1 / scale)
        if not np.isfinite(stems).all():
            raise NotFinite
        yield stems
        done += len(stems)
        job.report(_NETWORK_SHARE * done / job.frames)
    if done != job.frames:
        raise TransientError(ErrorCode.INTERNAL_ERROR, f"the model answered {done} of {job.frames} samples")


def _with_residual(model: LoadedModel, stems: Samples, mix: Samples) -> list[Samples]:
    """Return all stems, [frame, channel] in the order of `model.names`, from [frame, stem, channel]."""
    found = [stems[:, index] for index in range(stems.shape[1])]
    if model.residual:
        found.append(mix - found[model.stems.index(model.residual.of)])
    return found


def _write_stems(job: _Job, spool: BinaryIO, gain: float, target_dir: Path, format: Format) -> None:
    """Write all stems × `gain` under temporary names, then rename them."""
    parts = {name: target_dir / f"{name}.part" for name in job.model.names}
    peaks = Peaks(parts, job.frames, SAMPLE_RATE)
    with _completed(parts, target_dir, format), ExitStack() as stack:
        writers = {
            name: stack.enter_context(StemWriter(part, format, job.frames)) for name, part in parts.items()
        }
        _copy_spool(job, spool, gain, writers, peaks)
        peaks.write(target_dir / PEAKS_FILE)


@contextmanager
def _completed(parts: Mapping[str, Path], target_dir: Path, format: Format) -> Iterator[None]:
    """Give the files of `parts` their final names at the end, or remove them after an error."""
    try:
        yield
        for name, part in parts.items():
            part.rename(stem_path(target_dir, name, format))
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _copy_spool(
    job: _Job, spool: BinaryIO, gain: float, writers: Mapping[str, StemWriter], peaks: Peaks
) -> None:
    """Write each stem × `gain` to its writer, of those in the order of the model's names."""
    shape = (-1, len(job.model.stems), CHANNELS)
    spool.seek(0)
    done = 0
    for block in job.blocks():
        data = spool.read(len(block) * _FLOAT_FRAME_BYTES * len(job.model.stems))
        stems = np.frombuffer(data, np.float32).reshape(shape)
        for name, stem in zip(writers, _with_residual(job.model, stems, block), strict=True):
            written = stem * np.float32(gain)
            writers[name].write(written)
            peaks.add(name, written)
        done += len(block)
        job.report(_NETWORK_SHARE + (1 - _NETWORK_SHARE) * done / job.frames)
