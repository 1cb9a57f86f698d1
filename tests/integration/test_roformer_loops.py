"""Converted Roformers have their transformers in loops, and answer what they answer without."""

import numpy as np
import openvino
import pytest
import torch

from processor.separation.loaded_model import architecture
from processor.separation.runtimes.batch_loops import PieceSizes, loop_over_batches
from processor.separation.runtimes.core import CoreSource
from tests.support import audio
from tests.support.processor import models
from tests.support.processor.openvino_answers import answer

# Small enough for networks whose bands and frames have a few values each.
SMALL = PieceSizes(1, 2_000)


def transformers_along_an_axis(source: CoreSource) -> int:
    """Each block's last two; the ones before them take bands and frames as one long sequence."""
    return 2 * len(source.module()._blocks)


@pytest.mark.parametrize("name", ["tiny_bs_roformer", "tiny_mel_band_roformer"])
@pytest.mark.parametrize("seconds", ["a chunk", "less"])
def test_each_transformer_has_a_loop_and_the_masks_are_the_same(name, seconds):
    files, plan = models.converted(name)
    (source,) = architecture(files).core_sources(files)
    ((batch, frames, values),) = source.shapes
    shape = [batch, frames if seconds == "a chunk" else frames // 2, values]
    model = openvino.Core().read_model(plan.core_files[0])
    model.reshape({0: shape})
    spectra = [torch.randn(shape, generator=torch.Generator().manual_seed(5)).numpy()]
    before = answer(model, spectra)
    assert loop_over_batches(model, SMALL) == transformers_along_an_axis(source)
    after = answer(model, spectra)
    assert np.isfinite(before).all()
    assert audio.sdr_db(before, after) > 100
