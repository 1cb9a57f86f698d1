"""The bench measures small networks of each architecture, in the engine and in audio-separator."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.separating
from bench import library
from bench.separating import Measured, separating
from bench.songs import song
from bench.stopwatch import INVERSE_STFT, NETWORK, OVERLAP_ADD, STFT, WRITING
from tests.support.forked_bench import ForkedBench
from tests.support.processor.models import random_directory
from tests.support.processor.random_mdx import MdxSize, write_mdx

_SMALL_MDX = MdxSize(n_fft=2048, bins=64, frames_exponent=8, growth=4, scales=2, layers=1, bottleneck=4)
_SONG_S = 0.5


@pytest.fixture
def small_mdx(tmp_path: Path) -> Path:
    directory = tmp_path / "models"
    directory.mkdir()
    write_mdx(directory, "small_mdx", _SMALL_MDX)
    return directory


@pytest.fixture(scope="module")
def forked_bench() -> Iterator[ForkedBench]:
    forked = ForkedBench()
    yield forked
    forked.close()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("model", ["small_mdx", "tiny_vr", "tiny_demucs", "tiny_mdx23c", "tiny_bs_roformer"])
def test_both_sides_tell_their_time_and_the_engine_its_stages(
    model, small_mdx, tmp_path, forked_bench, monkeypatch
):
    if model != "small_mdx":  # whose processes start as the bench starts them
        monkeypatch.setattr(bench.separating, "_start", forked_bench.start)
    model_dir = small_mdx if model == "small_mdx" else random_directory()
    env = library.environment(tmp_path, "cpu")
    source = song(tmp_path, _SONG_S, prepared=True)
    target = tmp_path / "stems"
    target.mkdir()
    with separating("library", model_dir, model, env, "cpu") as loaded:
        _assert_plain(loaded.separate(source, target))
    with separating("engine", model_dir, model, env, "cpu") as engine:
        _assert_plain(engine.separate(source, target))
        profiled = engine.separate(source, target, profile=True)
    assert {STFT, NETWORK, INVERSE_STFT, OVERLAP_ADD, WRITING} <= set(profiled.stages)
    assert all(math.isfinite(seconds) and seconds > 0 for seconds in profiled.stages.values())
    # One chunk, so at most two threads work at once: the reader's, and the one that runs the network.
    assert sum(profiled.stages.values()) <= 2 * profiled.wall_s


def _assert_plain(measured: Measured) -> None:
    assert measured.runs >= 1
    assert 0 < measured.run_s < measured.wall_s
    assert measured.stages == {}
