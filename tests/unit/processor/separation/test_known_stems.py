"""A model's stems are known from its parameters as they are from the loaded model."""

import pytest

from processor.models import model_files
from processor.separation import known_stems, loaded_model
from processor.separation.device import CPU
from tests.support.processor import random_checkpoints
from tests.support.processor.models import random_directory


@pytest.mark.parametrize("name", [*random_checkpoints.WRITERS, "tiny_bag"])
def test_the_stems_are_those_of_the_loaded_model(name):
    files = model_files.ensure(name, random_directory(), fetch=False)
    assert known_stems.of(files) == loaded_model.load(files, CPU).names
