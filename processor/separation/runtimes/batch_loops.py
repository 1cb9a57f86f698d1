"""Has OpenVINO compute a Roformer's transformers in loops, a piece of their batch at a time.

A transformer over time computes each band alone, and one over bands each frame alone. Computed all at once
they need 0.9 GB for what lies between their operations. In pieces they need 0.2 GB, and take about as long.
"""

import re
from dataclasses import dataclass
from typing import Any, Self

import openvino
from openvino import opset13 as ops
from openvino.passes import ConstantFolding, Manager

# What torch's tracing names the modules in `_blocks` of the class Core in architectures/roformer.py.
_TRANSFORMER = re.compile(r"(__module\._blocks\.\d+\.\d+)[./]")

# A piece has at most so many values for each core. With twice as many, a Roformer needs 0.1 GB more.
_MOST_VALUES = 450_000
# With fewer, the cores would have too little to do between the places where they wait for each other.
_LEAST_VALUES = 14_000


@dataclass(frozen=True)
class PieceSizes:
    """How many values a piece of a batch has at least and at most."""

    least_values: int
    most_values: int

    @classmethod
    def on(cls, cores: int) -> Self:
        """Return the sizes for a run on `cores` cores."""
        return cls(cores * _LEAST_VALUES, cores * _MOST_VALUES)

    def piece_of(self, batch: int, entry_values: int) -> int | None:
        """Return how many of a batch's entries a piece has. None: the whole batch is computed at once.

        All pieces are of one size, so it divides the batch.
        """
        fitting = (
            size
            for size in range(1, batch)
            if batch % size == 0 and self.least_values <= size * entry_values <= self.most_values
        )
        return max(fitting, default=None)


def loop_over_batches(model: openvino.Model, sizes: PieceSizes) -> int:
    """Rewrite the transformers in `model`, whose shapes are known. Return how many loops it has now."""
    if not _nodes_by_transformer(model):
        return 0
    # Transformers share what is computed from shapes alone. As constants each has its own.
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    found = []
    for nodes in _nodes_by_transformer(model):
        transformer = _Transformer.of(nodes)
        if transformer and (piece := transformer.piece(sizes)):
            found.append((transformer, piece))
    # Shapes behind a loop are known again only at the end.
    for transformer, piece in found:
        transformer.loop(piece)
    model.validate_nodes_and_infer_types()
    return len(found)


@dataclass(frozen=True)
class _Transformer:
    """What makes [batch, place, value] of the same shape, and the inputs of nodes that read either."""

    shape: tuple[int, int, int]
    data_readers: tuple[Any, ...]
    answer: Any
    answer_readers: tuple[Any, ...]

    @classmethod
    def of(cls, nodes: list[Any]) -> Self | None:
        """Return the transformer that is made of `nodes`; None if more goes in or out than its data."""
        names = {node.get_friendly_name() for node in nodes}
        entering = [
            entry
            for node in nodes
            for entry in node.inputs()
            if _source(entry).get_friendly_name() not in names and not _is_constant(_source(entry))
        ]
        leaving = [
            (output, reader)
            for node in nodes
            for output in node.outputs()
            for reader in output.get_target_inputs()
            if reader.get_node().get_friendly_name() not in names
        ]
        if len({_source(entry).get_friendly_name() for entry in entering}) != 1:
            return None
        if len({output.get_node().get_friendly_name() for output, _ in leaving}) != 1:
            return None
        answer = leaving[0][0]
        shape = tuple(entering[0].get_source_output().get_shape())
        if len(shape) != 3 or shape != tuple(answer.get_shape()):
            return None
        return cls(shape, tuple(entering), answer, tuple(reader for _, reader in leaving))

    def piece(self, sizes: PieceSizes) -> int | None:
        """Return how many entries of the batch a piece has; None: it is not worth a loop."""
        batch, places, values = self.shape
        return sizes.piece_of(batch, places * values)

    def loop(self, piece: int) -> None:
        """Put a loop over pieces of the batch, each of `piece` entries, in the transformer's place."""
        # Asked now, since it may be what another loop gives.
        whole = self.data_readers[0].get_source_output()
        data = ops.parameter([piece, *self.shape[1:]], openvino.Type.f32)
        for reader in self.data_readers:
            reader.replace_source_output(data.output(0))
        answer = ops.result(self.answer)
        loop = ops.tensor_iterator()
        loop.set_body(openvino.Model([answer], [data], "a piece"))
        loop.set_sliced_input(data, whole, 0, piece, piece, -1, 0)
        answers = loop.get_concatenated_slices(answer.output(0), 0, piece, piece, -1, 0)
        for reader in self.answer_readers:
            reader.replace_source_output(answers)


def _nodes_by_transformer(model: openvino.Model) -> list[list[Any]]:
    nodes: dict[str, list[Any]] = {}
    for node in model.get_ordered_ops():
        name = _TRANSFORMER.match(node.get_friendly_name())
        if name and not _is_constant(node):
            nodes.setdefault(name.group(1), []).append(node)
    return [*nodes.values()]


def _is_constant(node: Any) -> bool:
    return bool(node.get_type_name() == "Constant")


def _source(entry: Any) -> Any:
    return entry.get_source_output().get_node()
