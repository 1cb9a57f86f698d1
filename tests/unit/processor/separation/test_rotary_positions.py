"""Attention turns its queries and keys by their places as the library does."""

import pytest
import torch
from audio_separator.separator.uvr_lib_v5.roformer.rotary import rotate_queries_or_keys
from rotary_embedding_torch import RotaryEmbedding

from processor.separation.architectures.roformer import Turns


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_turned_values_are_those_of_the_library(dtype):
    rotary = RotaryEmbedding(dim=16)
    values = torch.randn(2, 3, 50, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.inference_mode():
        found = Turns(rotary)(values)
        assert found.dtype == dtype
        assert torch.equal(found, rotate_queries_or_keys(rotary, values))
