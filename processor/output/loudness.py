"""Measures how loud a song is by ITU-R BS.1770, in constant memory.

FFmpeg's filter `ebur128` measures: K-weighting, blocks of 400 ms, gates at -70 LUFS and at 10 LU below the
mean. PyAV brings the filter, so that no other library is needed.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.filter import Graph

_BLOCK_FRAMES = 1 << 14
# The filter's answer where no block is above the absolute gate, or the song is shorter than a block.
_NOTHING_HEARD_LUFS = -70.0


def integrated_lufs(path: Path, report: Callable[[float], None]) -> float | None:
    """Return the integrated loudness of a stereo file in LUFS; None where it is too short or too quiet.

    `report` gets the progress, 0 to 1. Raises OSError.
    """
    found = _NOTHING_HEARD_LUFS
    with soundfile.SoundFile(path) as file:
        graph = _graph(file.samplerate)
        for frame in _frames(file):
            graph.push(frame)
            for measured in _pulled(graph):
                found = float(measured.metadata.get("lavfi.r128.I", found))
            report(file.tell() / file.frames)
    return found if found > _NOTHING_HEARD_LUFS else None


def _graph(rate: int) -> Graph:
    graph = Graph()
    source = graph.add_abuffer(sample_rate=rate, format="flt", layout="stereo", time_base=Fraction(1, rate))
    # In frames of 100 ms, each of which says what has been measured so far.
    meter, sink = graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    return graph


def _frames(file: soundfile.SoundFile) -> Iterator[AudioFrame | None]:
    position = 0
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), "flt", "stereo")
        frame.sample_rate, frame.pts = file.samplerate, position
        position += len(block)
        yield frame
    yield None  # the end


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if isinstance(frame, AudioFrame):
            yield frame
