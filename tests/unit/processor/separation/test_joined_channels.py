"""Convolutions of joined channels give what they gave when their parts are convolved."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from processor.separation.runtimes.joined_channels import part_convolutions
from tests.support import audio
from tests.support.processor.openvino_answers import answer

HEIGHT, WIDTH = 12, 10
ALL = 0
RNG = np.random.default_rng(1)


def convolved(data: Any, stride: int = 1, padding: int = 1, dilation: int = 1) -> Any:
    weights = RNG.standard_normal((5, data.get_output_shape(0)[1], 3, 3)).astype(np.float32)
    settings = [[value] * 2 for value in (stride, padding, padding, dilation)]
    return ops.convolution(data, ops.constant(weights), *settings)


def joined(*parts: Any, axis: int = 1) -> Any:
    return ops.concat(list(parts), axis)


def model_of(build: Callable[..., Any]) -> openvino.Model:
    parts = [ops.parameter([1, channels, HEIGHT, WIDTH], np.float32) for channels in (2, 3, 4)]
    return openvino.Model([ops.result(build(*parts))], parts, "a test")


def both_ways(build: Callable[..., Any], least_bytes: int = ALL) -> tuple[np.ndarray, np.ndarray, int]:
    model = model_of(build)
    parts = [RNG.standard_normal(list(port.shape)).astype(np.float32) for port in model.inputs]
    before = answer(model, parts)
    found = part_convolutions(model, least_bytes)
    return before, answer(model, parts), found


PARTED: dict[str, Callable[..., Any]] = {
    "two parts": lambda a, b, c: ops.add(convolved(joined(a, b)), ops.reduce_sum(c, np.array([1]), True)),
    "three parts": lambda a, b, c: convolved(joined(a, b, c)),
    "an axis from the end": lambda a, b, c: convolved(joined(a, b, c, axis=-3)),
    "stride, padding and dilation": lambda a, b, c: convolved(joined(a, b, c), 2, 3, 2),
    "a bias and a ReLU": lambda a, b, c: ops.relu(
        ops.add(convolved(joined(a, b, c)), ops.constant(np.ones((1, 5, 1, 1), np.float32)))
    ),
    "one part twice": lambda a, b, c: convolved(joined(a, b, c, a)),
}


@pytest.mark.parametrize("name", PARTED)
def test_it_gives_the_same(name: str):
    before, after, found = both_ways(PARTED[name])
    assert found == 1
    assert audio.sdr_db(before, after) > 100


OTHERS: dict[str, Callable[..., Any]] = {
    "another reader": lambda a, b, c: ops.add(
        convolved(whole := joined(a, b, c)), ops.reduce_sum(whole, np.array([1]), True)
    ),
    "another axis": lambda a, b, c: convolved(joined(a, a, axis=2)),
    "another operation": lambda a, b, c: ops.relu(joined(a, b, c)),
    "weights that are joined": lambda a, b, c: ops.convolution(
        c, ops.concat([c, c], 0), [1, 1], [0, 0], [0, 0], [1, 1]
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_join_stays(name: str):
    before, after, found = both_ways(OTHERS[name])
    assert found == 0
    assert audio.sdr_db(before, after) > 100


def test_small_ones_stay_joined():
    joined_bytes = (2 + 3 + 4) * HEIGHT * WIDTH * 4
    assert both_ways(PARTED["three parts"], joined_bytes + 1)[2] == 0
    assert both_ways(PARTED["three parts"], joined_bytes)[2] == 1
