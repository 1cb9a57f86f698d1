"""Every architecture through the real engine: loaded as a checkpoint, separated, announced by its stems."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig
from tests.support import audio
from tests.support.processor.models import random_directory

PAIR = {"vocals", "instrumental"}
FOUR = {"drums", "bass", "other", "vocals"}
STEMS = {
    "tiny_vr": PAIR,
    "tiny_mdx23c.ckpt": PAIR,
    "tiny_bs_roformer": PAIR,
    "tiny_mel_band_roformer": PAIR,
    "tiny_demucs.yaml": FOUR | {"instrumental"},
    "tiny_bag": FOUR | {"instrumental"},
    "tiny_hdemucs": FOUR | {"instrumental"},
}


@contextmanager
def started(name: str, device: str = "cpu") -> Iterator[Engine]:
    engine = Engine(EngineConfig(name, random_directory(), device=device, fetch_model=False))
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="module", params=STEMS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The ready engine of each model in turn."""
    with started(request.param) as engine:
        state = engine.wait_ready(120)
        assert state.ok, state.detail
        assert state.detail == f"{request.param} on cpu"
        yield engine


def separate(engine: Engine, directory: Path, mix: np.ndarray):
    target = directory / "stems"
    target.mkdir(exist_ok=True)
    source = audio.write(directory / "mix.wav", mix)
    return engine.separate(source, target, lambda: None, lambda fraction: None)


@pytest.mark.slow
def test_a_song_becomes_the_models_stems(engine, tmp_path):
    mix = audio.noise(6.3, peak=0.3)
    first = separate(engine, tmp_path, mix)
    assert (set(first.stems), first.device) == (STEMS[first.model], "cpu")
    stems = {n: audio.read_int16(stem.path) for n, stem in first.stems.items()}
    assert {len(samples) for samples in stems.values()} == {len(mix)}
    assert all(samples.any() for samples in stems.values())
    again = separate(engine, tmp_path, mix)  # nothing of the first job is left in the network
    assert all(np.array_equal(audio.read_int16(again.stems[n].path), stems[n]) for n in stems)


@pytest.mark.slow
def test_the_shortest_songs_have_stems(engine, tmp_path):
    for frames in (1, 700):
        result = separate(engine, tmp_path, audio.noise(1)[:frames])
        assert {stem.frames for stem in result.stems.values()} == {frames}
        assert all(len(audio.read(stem.path)) == frames for stem in result.stems.values())


@pytest.mark.parametrize("name", ["tiny_mdx23c", "tiny_vr"])
def test_a_demanded_gpu_that_torch_does_not_see_is_told_as_the_reason(monkeypatch, name):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # for machines that have one
    with started(name, "cuda") as engine:
        while engine.state().detail == "starting":
            engine.wait_ready(0.1)
        assert not engine.state().ok
        assert "DEVICE=cuda, but torch sees no CUDA device" in engine.state().detail
