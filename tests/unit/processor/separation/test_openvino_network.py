"""A network run by OpenVINO keeps to the arrays that it gets and gives."""

from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from processor.separation.runtimes.openvino_network import OpenVinoNetwork


@pytest.fixture
def network(tmp_path: Path) -> OpenVinoNetwork:
    """Doubles its input, [1, n], and gives the sum beside it."""
    values = ops.parameter([1, -1], np.float32)
    results = [ops.result(ops.add(values, values)), ops.result(ops.reduce_sum(values, np.array([1])))]
    path = tmp_path / "network.xml"
    openvino.save_model(openvino.Model(results, [values], "a test"), path, compress_to_fp16=False)
    return OpenVinoNetwork(path, ((1, 3),), "fp32")


def test_an_answer_stays_while_the_next_one_is_computed(network):
    first, first_sum = network(np.array([[1, 2, 3]], np.float32))
    second, second_sum = network(np.array([[4, 5, 6]], np.float32))
    assert first.tolist() == [[2, 4, 6]]
    assert second.tolist() == [[8, 10, 12]]
    assert (first_sum.tolist(), second_sum.tolist()) == ([6], [15])


def test_inputs_of_another_length_get_answers_of_that_length(network):
    before, _ = network(np.array([[1, 2, 3]], np.float32))
    doubled, total = network(np.array([[1, 2, 3, 4]], np.float32))
    assert doubled.tolist() == [[2, 4, 6, 8]]
    assert total.tolist() == [10]
    assert before.tolist() == [[2, 4, 6]]


def test_an_answer_can_be_written_without_an_effect_on_the_next(network):
    first, _ = network(np.array([[1, 2, 3]], np.float32))
    first[:] = 0
    again, _ = network(np.array([[1, 2, 3]], np.float32))
    assert again.tolist() == [[2, 4, 6]]
