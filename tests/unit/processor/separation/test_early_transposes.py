"""A network gives what it gave when it transposes before a convolution of single points."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from processor.separation.runtimes.early_transposes import transpose_early
from tests.support import audio
from tests.support.processor.openvino_answers import answer

CHANNELS, HEIGHT, WIDTH = 3, 6, 10
ALL = 0
RNG = np.random.default_rng(1)


def convolved(data: Any, channels: int = 5, size: int = 1, stride: int = 1, padding: int = 0) -> Any:
    weights = RNG.standard_normal((channels, CHANNELS, size, size)).astype(np.float32)
    settings = [[value] * 2 for value in (stride, padding, padding, 1)]
    return ops.convolution(data, ops.constant(weights), *settings)


def transposed(data: Any, *order: int) -> Any:
    return ops.transpose(data, np.array(order or (0, 1, 3, 2)))


def both(whole: Any, *order: int) -> Any:
    """What was transposed is used after its transposition, and as it was."""
    turned = ops.relu(transposed(whole, *order))
    back = transposed(turned, *np.argsort(order or (0, 1, 3, 2)))
    return ops.multiply(back, whole)


def both_ways(build: Callable[..., Any], least_bytes: int = ALL) -> tuple[np.ndarray, np.ndarray, int]:
    data = ops.parameter([1, CHANNELS, HEIGHT, WIDTH], np.float32)
    model = openvino.Model([ops.result(build(data))], [data], "a test")
    samples = [RNG.standard_normal((1, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)]
    before = answer(model, samples)
    found = transpose_early(model, least_bytes)
    return before, answer(model, samples), found


def test_it_gives_the_same():
    before, after, found = both_ways(lambda data: both(convolved(data)))
    assert found == 1
    assert audio.sdr_db(before, after) > 100


OTHERS: dict[str, Callable[..., Any]] = {
    "an answer that nothing else reads": lambda data: ops.relu(transposed(convolved(data))),
    "fewer channels after it": lambda data: both(convolved(data, channels=2)),
    "points that see their neighbours": lambda data: both(convolved(data, size=3, padding=1)),
    "points that are left out": lambda data: both(convolved(data, stride=2)),
    "points that are added": lambda data: both(convolved(data, padding=1)),
    "an order that moves channels": lambda data: both(convolved(data), 0, 2, 1, 3),
    "another operation": lambda data: both(ops.sigmoid(data)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_transpose_stays(name: str):
    before, after, found = both_ways(OTHERS[name])
    assert found == 0
    assert np.array_equal(before, after)


def test_small_answers_are_transposed_as_they_are():
    _, _, found = both_ways(lambda data: both(convolved(data)), least_bytes=5 * HEIGHT * WIDTH * 4 + 1)
    assert found == 0
