"""A song's whole way with a model of four stems: each is published, beside the two that callers know."""

from pathlib import Path

import numpy as np
import pytest

from tests.support import audio
from tests.support.processor.models import random_directory
from tests.support.trio import Trio, fetch_stem


@pytest.fixture
def trio(stack, kafka, s3_store):
    trio = Trio(stack, kafka.bootstrap, s3_store, random_directory(), MODEL_NAME="tiny_demucs")
    try:
        yield trio.start()
    finally:
        trio.close()


@pytest.mark.slow
def test_the_callback_has_all_stems_of_a_model_of_four(trio: Trio, tmp_path: Path):
    mix = audio.noise(3, peak=0.3)
    body = trio.separate(audio.write(tmp_path / "mix.wav", mix).read_bytes()).json
    assert (body["status"], body["model"]) == ("success", "tiny_demucs"), body
    assert set(body["stems"]) == {"drums", "bass", "other", "vocals", "instrumental"}
    assert body["vocals"] == body["stems"]["vocals"]["url"]
    assert body["instrumental"] == body["stems"]["instrumental"]["url"]
    found = {name: fetch_stem(stem["url"], tmp_path) for name, stem in body["stems"].items()}
    assert {samples.shape for samples in found.values()} == {mix.shape}
    # Five files, none of them another's.
    assert len({samples.tobytes() for samples in found.values()}) == 5
    whole = mix * np.float32(body["gain"])
    assert np.abs(found["vocals"] + found["instrumental"] - whole).max() <= 1.01 / 32768
