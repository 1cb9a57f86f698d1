"""Transformers give in loops over their batch what they gave at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from processor.separation.runtimes.batch_loops import PieceSizes, loop_over_batches
from tests.support import audio
from tests.support.processor.openvino_answers import answer

BATCH, PLACES, VALUES = 6, 5, 4
ENTRY_VALUES = PLACES * VALUES
ANY_SIZE = PieceSizes(1, 3 * ENTRY_VALUES)
RNG = np.random.default_rng(1)


def weights(*shape: int) -> Any:
    return ops.constant(RNG.standard_normal(shape).astype(np.float32))


def named(scope: str, *nodes: Any) -> Any:
    """Names the nodes as torch's tracing names those of a module. Returns the last."""
    for node in nodes:
        node.set_friendly_name(f"{scope}/{node.get_friendly_name()}")
    return nodes[-1]


def transformer(data: Any, scope: str) -> Any:
    queries = ops.matmul(data, weights(VALUES, VALUES), False, False)
    found = ops.scaled_dot_product_attention(queries, data, data)
    return named(scope, queries, found, ops.add(data, found))


def two_transformers(data: Any) -> Any:
    over_time = transformer(data, "__module._blocks.0.0.layers.0")
    turned = ops.transpose(over_time, np.array([1, 0, 2]))
    return transformer(turned, "__module._blocks.0.1.layers.0")


def model_of(build: Callable[[Any], Any]) -> openvino.Model:
    data = ops.parameter([BATCH, PLACES, VALUES], np.float32)
    return openvino.Model([ops.result(build(data))], [data], "a test")


def both_ways(
    build: Callable[[Any], Any], sizes: PieceSizes = ANY_SIZE
) -> tuple[np.ndarray, np.ndarray, int]:
    model = model_of(build)
    data = [RNG.standard_normal((BATCH, PLACES, VALUES)).astype(np.float32)]
    before = answer(model, data)
    loops = loop_over_batches(model, sizes)
    return before, answer(model, data), loops


def test_each_transformer_gets_a_loop_and_gives_the_same():
    before, after, loops = both_ways(two_transformers)
    assert loops == 2
    assert after.shape == before.shape
    assert audio.sdr_db(before, after) > 100


def two_that_share_a_table(data: Any) -> Any:
    places = ops.convert(ops.gather(ops.shape_of(data), np.array([1]), np.array(0)), "f32")
    table = named("__module._blocks.0.0.turns", places, ops.cos(places))
    once = named("__module._blocks.0.0", ops.multiply(data, table))
    return named("__module._blocks.1.0", ops.multiply(once, table))


def test_what_is_computed_from_shapes_alone_is_no_tie_between_transformers():
    before, after, loops = both_ways(two_that_share_a_table)
    assert loops == 2
    assert audio.sdr_db(before, after) > 100


def that_reads_another_value(data: Any) -> Any:
    mean = ops.reduce_mean(data, np.array([0]), True)
    return named("__module._blocks.0.0", ops.add(ops.relu(data), mean))


def whose_inside_is_read(data: Any) -> Any:
    inside = ops.relu(data)
    return ops.add(named("__module._blocks.0.0", inside, ops.multiply(inside, inside)), inside)


def of_another_shape(data: Any) -> Any:
    return named("__module._blocks.0.0", ops.reduce_sum(data, np.array([0]), True))


def of_four_axes(data: Any) -> Any:
    whole = ops.unsqueeze(data, np.array([0]))
    return named("__module._blocks.0.0", ops.relu(whole))


def of_another_name(data: Any) -> Any:
    return transformer(data, "__module._band_split.0")


OTHERS = [that_reads_another_value, whose_inside_is_read, of_another_shape, of_four_axes, of_another_name]


@pytest.mark.parametrize("build", OTHERS)
def test_other_parts_of_a_network_stay(build: Callable[[Any], Any]):
    before, after, loops = both_ways(build)
    assert loops == 0
    assert audio.sdr_db(before, after) > 100


def test_a_transformer_whose_pieces_would_be_too_small_or_too_large_stays():
    assert both_ways(two_transformers, PieceSizes(BATCH * ENTRY_VALUES, 10**9))[2] == 0
    assert both_ways(two_transformers, PieceSizes(1, 1))[2] == 0


@pytest.mark.parametrize(
    ("batch", "entry_values", "piece"),
    [
        (60, 1101 * 384, 2),  # a Mel-Band Roformer's bands
        (1101, 60 * 384, 3),  # and its frames, whose number has two divisors
        (62, 801 * 512, 2),  # a BS-Roformer's
        (801, 62 * 512, 9),
        (1103, 60 * 384, None),  # a prime number of frames: one alone is too little
        (1, 801 * 512, None),
        (60, 1_000_000, None),
    ],
)
def test_a_piece_is_the_largest_divisor_of_the_batch_that_fits(batch, entry_values, piece):
    assert PieceSizes.on(cores=2).piece_of(batch, entry_values) == piece


def test_more_cores_get_larger_pieces():
    assert PieceSizes.on(cores=16).piece_of(60, 1101 * 384) == 15
