"""Products over bins that have their channels last give what they gave, without a matrix for each channel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from processor.models import model_files
from processor.separation.runtimes.channels_last import put_channels_last
from tests.support import audio
from tests.support.processor.openvino_answers import answer, compiled
from tests.support.processor.random_mdx import MdxSize, write_mdx

CHANNELS, FRAMES, BINS = 6, 5, 32
RNG = np.random.default_rng(1)


def noise(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def largest_matrix(model: openvino.Model) -> int:
    """The most numbers of a constant that the CPU multiplies by."""
    return max(
        int(np.prod(list(node.get_output_shape(0))))
        for node in compiled(model).get_runtime_model().get_ops()
        if node.get_type_name() == "ExecutionNode" and node.get_rt_info()["layerType"].astype(str) == "Const"
    )


def product(data: Any, bins: int, transposed: bool = False) -> Any:
    before = data.get_output_shape(0)[-1]
    matrix = ops.constant(noise(bins, before) if transposed else noise(before, bins))
    return ops.matmul(data, matrix, False, transposed)


def normed(data: Any) -> Any:
    channels = data.get_output_shape(0)[1]
    # Negative scales too: a ReLU does not let them pass.
    parts = (noise(channels), noise(channels), noise(channels), np.abs(noise(channels)) + 0.1)
    return ops.batch_norm_inference(data, *parts, epsilon=1e-3)


def model_of(build: Callable[[Any], Any], batch: int = 2) -> openvino.Model:
    data = ops.parameter([batch, CHANNELS, FRAMES, BINS], np.float32)
    return openvino.Model([ops.result(build(data))], [data], "a test")


def both_ways(build: Callable[[Any], Any], batch: int = 2) -> tuple[np.ndarray, np.ndarray, int]:
    model = model_of(build, batch)
    samples = noise(batch, CHANNELS, FRAMES, BINS)
    before = answer(model, [samples])
    found = put_channels_last(model)
    return before, answer(model, [samples]), found


def bottleneck(data: Any) -> Any:
    inner = ops.relu(normed(product(data, BINS // 4)))
    return ops.add(data, ops.relu(normed(product(inner, BINS))))


REWRITTEN = {
    "one": (lambda data: ops.relu(normed(product(data, 7))), 1),
    "its matrix transposed": (lambda data: ops.relu(normed(product(data, 7, transposed=True))), 1),
    "two in a row": (bottleneck, 2),
    "two of one input": (
        lambda data: ops.add(ops.relu(normed(product(data, 7))), ops.relu(normed(product(data, 7)))),
        2,
    ),
    "two readers of its answer": (
        lambda data: ops.concat([inner := ops.relu(normed(product(data, BINS))), ops.add(inner, data)], 1),
        1,
    ),
    "two in a row, and a reader between": (
        lambda data: ops.concat(
            [inner := ops.relu(normed(product(data, 7))), ops.relu(normed(product(inner, 7)))], 1
        ),
        2,
    ),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_it_gives_the_same(name: str):
    build, count = REWRITTEN[name]
    before, after, found = both_ways(build)
    assert found == count
    assert audio.sdr_db(before, after) > 100


OTHERS = {
    "without a norm": lambda data: ops.relu(product(data, 7)),
    "without a ReLU": lambda data: normed(product(data, 7)),
    "another reader of the product": lambda data: ops.concat(
        [inner := product(data, 7), ops.relu(normed(inner))], 1
    ),
    "another reader of the norm": lambda data: ops.concat(
        [inner := normed(product(data, 7)), ops.relu(inner)], 1
    ),
    "a matrix that is no constant": lambda data: ops.relu(
        normed(ops.matmul(data, ops.reduce_sum(data, np.array([0, 1, 2]), True), False, True))
    ),
    "a matrix for each channel": lambda data: ops.relu(
        normed(ops.matmul(data, ops.constant(noise(CHANNELS, BINS, 7)), False, False))
    ),
    "a product over the frames": lambda data: ops.relu(
        normed(ops.matmul(data, ops.constant(noise(FRAMES, 7)), True, False))
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_product_stays(name: str):
    before, after, found = both_ways(OTHERS[name])
    assert found == 0
    assert audio.sdr_db(before, after) > 100


def test_an_mdx_network_has_no_matrix_for_each_channel(tmp_path: Path):
    size = MdxSize(n_fft=1024, bins=256, frames_exponent=5, growth=8, scales=2, layers=1, bottleneck=2)
    name = write_mdx(tmp_path, "mdx", size)
    path = model_files.ensure(name, tmp_path, fetch=False).path
    shape = (1, 4, size.bins, 2**size.frames_exponent)
    model = openvino.Core().read_model(path)
    model.reshape({0: list(shape)})
    samples = noise(*shape) * 10
    before, copies = answer(model, [samples]), largest_matrix(model)
    # Two for each of five blocks.
    assert put_channels_last(model) == 10
    assert audio.sdr_db(before, answer(model, [samples])) > 80
    matrix = size.bins * size.bins // size.bottleneck
    assert copies == size.growth * matrix
    assert largest_matrix(model) == matrix
