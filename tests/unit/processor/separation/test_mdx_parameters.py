"""An MDX network's lengths and stems are those that the library reads from the same entry."""

from pathlib import Path

import pytest
from audio_separator.separator.architectures.mdx_separator import MDXSeparator

from processor.models.model_files import ModelFiles, ModelUnavailable
from processor.separation import device
from processor.separation.architectures import library, mdx
from processor.separation.architectures.mdx_parameters import HOP_LENGTH, MdxParameters

STEMS = ("Vocals", "Instrumental", "Drums", "No Reverb", "lead_only", "backing_only", "Primary Stem", "Crowd")
ENTRY = {
    "compensate": 1.035,
    "mdx_dim_f_set": 2048,
    "mdx_dim_t_set": 8,
    "mdx_n_fft_scale_set": 6144,
    "primary_stem": "Vocals",
}


def files_of(entry: dict) -> ModelFiles:
    return ModelFiles("model", "MDX", Path(), Path("model.onnx"), entry, "")


class LibrarysModel(MDXSeparator):
    def load_model(self) -> None:
        """There is no network here."""


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("lengths", [{}, {"mdx_dim_t_set": 9, "mdx_n_fft_scale_set": 5120, "compensate": 1}])
def test_they_are_the_librarys(stem: str, lengths: dict):
    entry = {**ENTRY, "primary_stem": stem, **lengths}
    found = MdxParameters.of(entry)
    options = {"hop_length": HOP_LENGTH, "segment_size": 2 ** entry["mdx_dim_t_set"], "overlap": 0.25}
    model = LibrarysModel(library.common_config(files_of(entry), device.CPU), options)
    model.initialize_model_settings()
    assert (found.primary, found.secondary) == (model.primary_stem_name, model.secondary_stem_name)
    assert (found.chunk, found.trim, found.n_fft) == (model.chunk_size, model.trim, model.n_fft)
    assert (found.bins, found.frames) == (model.dim_f, model.dim_t)
    assert found.compensate == model.compensate


@pytest.mark.parametrize("wrong", [{"compensate": "much"}, {"mdx_dim_t_set": None}, {"mdx_dim_f_set": []}])
def test_a_wrong_entry_is_a_model_that_is_unavailable(wrong: dict):
    with pytest.raises(ModelUnavailable, match="model cannot be loaded"):
        mdx.core_sources(files_of({**ENTRY, **wrong}))
