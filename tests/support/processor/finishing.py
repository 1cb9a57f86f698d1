"""Finishes made-up stems of a short song, as a job does after its models have answered."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from common.tasks.messages.choices import Output
from processor.audio import decode
from processor.audio.prepare import PreparedSource
from processor.output import writing
from processor.output.finish import Finished, FloatStems, plan, result
from processor.output.resolved import resolve
from processor.separation.loaded_model import Residual
from tests.support import audio
from tests.support.processor import songs

INSTRUMENTAL = Residual("instrumental", "vocals")


@dataclass(frozen=True)
class Song:
    """A decoded song: `mix` is at 44.1 kHz, with `frames`; `source` is what stems are finished from."""

    mix: Path
    frames: int
    source: PreparedSource


def song(directory: Path, samples: np.ndarray, rate: int, keep_source: bool = True) -> Song:
    """Decode a 24-bit song of this rate, without a child process."""
    path = audio.write(directory / f"song-{rate}.wav", samples, "PCM_24", rate)
    mix, own = directory / "mix.wav", directory / "own.wav"
    found = decode.decode(path, mix, 60, 8, own=own if keep_source else None)
    source = PreparedSource(own, found.own_rate, found.own_frames)
    return Song(mix, found.frames, source if keep_source else PreparedSource(mix, 44100, found.frames))


def vocals(directory: Path, song: Song) -> FloatStems:
    """Make vocals that are no part of the mix, so that nothing cancels by chance."""
    noise = songs.music(song.frames / 44100 + 1, seed=3)[: song.frames] * np.float32(0.4)
    return FloatStems({"vocals": audio.write(directory / "v.wav", noise)}, INSTRUMENTAL)


def finished(
    directory: Path,
    stems: FloatStems,
    source: PreparedSource,
    names: tuple[str, ...] | None = None,
    **output,
) -> Finished:
    """Finish into a new directory without a child process; check that it holds the stems and nothing else."""
    target = directory / "finished"
    target.mkdir(parents=True, exist_ok=True)
    job = plan(stems, source, resolve(Output(**output), "wav"), names, target)
    done = result(job, writing.write(job, lambda fraction: None))
    assert {stem.path for stem in done.stems.values()} <= set(target.iterdir())
    assert not list(target.glob("*.part"))
    return done


def by_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    """Decode as any player does; return float32 [frame, 2] and the rate in Hz."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    blocks = [
        frame.to_ndarray() if frame.format.is_planar else frame.to_ndarray().reshape(-1, 2).T
        for frame in frames
    ]
    return np.concatenate(blocks, axis=1).T, frames[0].sample_rate
