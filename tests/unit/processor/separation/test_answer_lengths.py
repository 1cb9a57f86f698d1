"""A model's answers cover each song, whatever its length: none is empty, and none too long."""

import math
from collections.abc import Iterable
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest

from processor.models.model_files import ModelFiles
from processor.separation import overlap_add
from processor.separation.architectures import demucs, mdx, vr, vr_parameters
from processor.separation.architectures.mdxc_parameters import Mdx23cSettings, MdxcParameters
from processor.separation.architectures.roformer_settings import Settings
from processor.separation.architectures.vr_bands import VrBands
from processor.separation.architectures.vr_parameters import VrParameters
from tests.support import audio
from tests.support.processor.mixes import as_mix

LAYOUTS = sorted(
    path.name.removesuffix(".json")
    for path in resources.files("audio_separator").joinpath(vr_parameters._LAYOUTS).iterdir()
    if path.name.endswith(".json")
)
# A patch of a real network has 256 or 384 frames; fewer make the songs of these tests short.
PATCH_FRAMES = 8


SIZE = 1024
_MDX23C = Mdx23cSettings(n_fft=512, hop=32, bins=256, least_frames=2, stems=2)
_ROFORMER = Settings(512, 32, 512, normalized=False, stems=1, keeps_length=False)


def _mdxc(settings) -> MdxcParameters:
    """Return chunks of `SIZE` samples; shorter songs than 10 s have segments of 256 frames."""
    return MdxcParameters(settings, 4, 1, SIZE // 255, 256, ("vocals",), None)


# The samples in a chunk, and the chunks of a song.
GRIDS = {
    "mdx": (SIZE, mdx.Grid(SIZE, 100, SIZE * 3 // 4).chunks),
    "mdx23c": (_mdxc(_MDX23C).size(1), _mdxc(_MDX23C).chunks),
    "roformer": (_mdxc(_ROFORMER).size(1), _mdxc(_ROFORMER).chunks),
    "demucs": (
        SIZE,
        lambda frames: demucs._chunks(SimpleNamespace(segment=SIZE, taken=lambda length: SIZE), frames),
    ),
}


def assert_covered(frames: int, answers: Iterable[np.ndarray]) -> None:
    lengths = [stems.shape[2] for stems in answers]
    assert all(lengths), (frames, lengths)
    assert sum(lengths) == frames, (frames, lengths)


@pytest.mark.parametrize("architecture", GRIDS)
def test_the_answers_of_all_chunks_add_up_to_the_song(architecture):
    size, chunks = GRIDS[architecture]
    mix = audio.noise(5 * size / 44100)
    borders = {chunk.start + more for chunk in chunks(4 * size) for more in (0, chunk.length)}
    for frames in sorted({1, 2, *(border + more for border in borders for more in (-1, 0, 1))}):
        if 0 < frames <= len(mix):
            read = as_mix(mix[:frames]).open()
            assert_covered(frames, overlap_add.stream(read, frames, chunks(frames), lambda x: x[:, None]))


def half(patches: np.ndarray) -> np.ndarray:
    """Stand in for a network: each bin is half of the primary stem."""
    return np.full((*patches.shape[:3], PATCH_FRAMES), 0.5, np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_answers_of_all_blocks_of_a_vr_model_add_up_to_the_song(monkeypatch, tmp_path, layout):
    path = tmp_path / "model.pth"
    path.write_bytes(bytes(1024))
    entry = {"vr_model_param": layout, "primary_stem": "Vocals"}
    parameters = VrParameters.of(ModelFiles("model", "VR", tmp_path, path, entry, "0"))
    monkeypatch.setattr(vr, "WINDOW", PATCH_FRAMES + 2 * parameters.offset)
    bands = VrBands(parameters)
    # The frame that begins the second block is the song's last one up to a hop before `border`.
    border = math.floor(vr._BLOCK_PATCHES * PATCH_FRAMES * bands.hop)
    for frames in (1, border - math.floor(bands.hop), border + 1 - math.ceil(bands.hop), border, border + 1):
        song = vr._Song(parameters, bands, as_mix(audio.noise(frames / 44100)[:frames]), half)
        assert_covered(frames, song.stems())
