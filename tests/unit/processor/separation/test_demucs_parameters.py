"""The parameters of Demucs networks are read from checkpoints without loading them."""

import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from processor.models import model_files
from processor.models.model_files import ModelFiles
from processor.separation.architectures import demucs_by_torch
from processor.separation.architectures.demucs_parameters import DemucsParameters, UnknownCheckpoint
from processor.separation.device import CPU
from processor.separation.runtimes.core import BY_TORCH
from tests.support.processor import random_checkpoints

SIZE = {"channels": 8, "depth": 4, "t_layers": 1, "t_heads": 2, "segment": Fraction(39, 20), "nfft": 2048}


def files_of(directory: Path, **options) -> ModelFiles:
    name = random_checkpoints.write_demucs(directory, "network", **options)
    return model_files.ensure(name, directory, fetch=False)


@pytest.mark.parametrize("bag", [1, 4])
def test_they_are_those_of_the_loaded_networks(tmp_path, bag):
    files = files_of(tmp_path, bag=bag, size=SIZE)
    found = DemucsParameters.of(files)
    loaded = demucs_by_torch.open_network(files, BY_TORCH, CPU)
    assert (found.sources, found.segment) == (loaded.sources, loaded.segment)
    assert found.n_fft == 2048
    assert found.shares.sum(axis=0).tolist() == [1, 1, 1, 1]


def test_a_bags_segment_and_weights_count(tmp_path):
    files = files_of(tmp_path, bag=2, size=SIZE)
    bag = yaml.safe_load(files.path.read_text())
    files.path.write_text(yaml.safe_dump({**bag, "segment": 1, "weights": [[3, 1, 0, 1], [1, 1, 1, 0]]}))
    found = DemucsParameters.of(files)
    assert found.segment == 44100
    assert np.array_equal(found.shares, [[0.75, 0.5, 0, 1], [0.25, 0.5, 1, 0]])


def test_defaults_are_those_of_the_librarys_class(tmp_path):
    size = {name: value for name, value in SIZE.items() if name not in ("segment", "nfft")}
    found = DemucsParameters.of(files_of(tmp_path, size=size))
    assert (found.segment, found.n_fft) == (441000, 4096)


def test_networks_that_differ_are_told(tmp_path):
    files = files_of(tmp_path, bag=2, size=SIZE)
    (tmp_path / "other").mkdir()
    other = files_of(tmp_path / "other", size={**SIZE, "nfft": 4096})
    second = files.parts[1]
    second.write_bytes(other.parts[0].read_bytes())
    with pytest.raises(UnknownCheckpoint, match="different parameters"):
        DemucsParameters.of(files)


def test_another_class_and_another_format_are_told_and_nothing_is_run(tmp_path):
    files = files_of(tmp_path, size=SIZE)
    (checkpoint,) = files.parts
    torch.save({"klass": zipfile.ZipFile, "args": (), "kwargs": {"sources": []}}, checkpoint)
    with pytest.raises(UnknownCheckpoint, match="another class"):
        DemucsParameters.of(files)
    torch.save({"klass": Runs(), "args": (), "kwargs": {"sources": []}}, checkpoint)
    with pytest.raises(UnknownCheckpoint):
        DemucsParameters.of(files)
    checkpoint.write_bytes(b"no archive")
    with pytest.raises(UnknownCheckpoint, match="another format"):
        DemucsParameters.of(files)


class Runs:
    """Calls a function when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("code of the checkpoint has run",)
