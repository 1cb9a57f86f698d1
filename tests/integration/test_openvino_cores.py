"""Each torch architecture's core is converted for OpenVINO, and answers what torch answers."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from processor.models import model_files
from processor.separation import device, loaded_model, streaming
from processor.separation.runtimes.core import CannotConvert, CoreSource, Plan
from processor.separation.runtimes.openvino_core import OpenVinoCore
from processor.separation.runtimes.torch_core import TorchCore
from tests.support import audio
from tests.support.processor import models
from tests.support.processor.models import random_directory

NAMES = ["tiny_bs_roformer", "tiny_mel_band_roformer", "tiny_mdx23c", "tiny_demucs", "tiny_bag", "tiny_vr"]
# Segments of Demucs have 1 s; other networks have other chunks from 10 s on.
LONG_S = {"tiny_demucs": 2.7, "tiny_bag": 2.7}


def core_sources(files: model_files.ModelFiles) -> tuple[CoreSource, ...]:
    module = importlib.import_module(f"processor.separation.architectures.{files.architecture.lower()}")
    return module.core_sources(files)


def level_db(expected: np.ndarray, found: np.ndarray) -> float:
    error = np.square((expected - found).astype(np.float64)).sum()
    return 10 * np.log10(np.square(expected.astype(np.float64)).sum() / error)


def stems(loaded: loaded_model.LoadedModel, tmp_path: Path, mix: np.ndarray) -> dict[str, np.ndarray]:
    target = tmp_path / loaded.runtime
    target.mkdir()
    source = audio.write(tmp_path / "mix.wav", mix)
    streaming.separate(loaded, source, target, "flac", lambda fraction: None, lambda: None)
    return {path.stem: audio.read(path) for path in target.glob("*.flac")}


@pytest.fixture(scope="module", params=NAMES)
def converted(request) -> tuple[model_files.ModelFiles, Plan]:
    """A model, and the plan for its cores' files."""
    return models.converted(request.param)


def test_a_network_whose_last_segments_have_other_lengths_is_not_converted():
    files = model_files.ensure("tiny_hdemucs", random_directory(), fetch=False)
    with pytest.raises(CannotConvert, match="other lengths"):
        core_sources(files)


def test_a_core_answers_by_openvino_what_it_answers_by_torch(converted):
    files, plan = converted
    for source, path in zip(core_sources(files), plan.core_files, strict=True):
        generator = torch.Generator().manual_seed(5)
        inputs = [torch.randn(shape, generator=generator) for shape in source.shapes]
        expected = TorchCore(source.module(), device.CPU)(*inputs)
        found = OpenVinoCore(path, source.shapes, "fp32")(*inputs)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == theirs.shape
            assert level_db(theirs.numpy(), ours.numpy()) > 60


@pytest.fixture(scope="module")
def both_ways(converted) -> tuple[loaded_model.LoadedModel, loaded_model.LoadedModel]:
    """The model by torch and by OpenVINO. As in an engine, songs of all lengths come to one loaded model."""
    files, plan = converted
    return loaded_model.load(files, device.CPU), loaded_model.load(files, device.CPU, plan)


@pytest.mark.slow
@pytest.mark.parametrize("length", ["long", "short"])  # the shorter song has chunks of other shapes
def test_songs_get_the_stems_that_torch_gives(both_ways, tmp_path, length):
    by_torch, by_openvino = both_ways
    mix = audio.noise(LONG_S.get(by_torch.name, 10.1) if length == "long" else 1.5, peak=0.3)
    assert (by_torch.runtime, by_torch.precision) == ("torch", "fp32")
    assert (by_openvino.runtime, by_openvino.precision) == ("openvino", "fp32")
    assert by_openvino.stems == by_torch.stems
    expected, found = stems(by_torch, tmp_path, mix), stems(by_openvino, tmp_path, mix)
    assert set(found) == set(expected) == set(by_torch.names)
    for name in expected:
        assert level_db(expected[name], found[name]) > 60
