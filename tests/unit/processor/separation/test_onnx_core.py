"""onnxruntime reads and writes torch's memory in place, with the answers of a plain run."""

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from processor.separation import device
from processor.separation.runtimes.onnx_core import OnnxCore, run_in_place


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a network for `batch` chunks: the sum and difference of its inputs."""

    def write(batch: int | str) -> Path:
        shape = [batch, 3, "length"]
        ports = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name in ("left", "right", "sum", "difference")
        }
        graph = helper.make_graph(
            [
                helper.make_node("Add", ["left", "right"], ["sum"]),
                helper.make_node("Sub", ["left", "right"], ["difference"]),
            ],
            "two",
            [ports["left"], ports["right"]],
            [ports["sum"], ports["difference"]],
        )
        path = tmp_path / f"{batch}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path

    return write


def test_a_run_in_place_answers_as_a_plain_run(write):
    path = write("batch")
    left, right = torch.randn(2, 5, 3).transpose(1, 2), torch.randn(2, 3, 5)
    assert not left.is_contiguous()
    expected = OnnxCore(path, device.CPU)(left, right)
    session = onnxruntime.InferenceSession(str(path), providers=[device.CPU_PROVIDER])
    found = run_in_place(session, (left, right), ((2, 3, 5), (2, 3, 5)))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    # A second run has answers of its own.
    run_in_place(session, (right, left), ((2, 3, 5), (2, 3, 5)))
    assert torch.equal(found[0], left + right)
    assert torch.equal(found[1], left - right)


def test_a_network_for_one_chunk_gets_chunks_one_by_one(write):
    core = OnnxCore(write(1), device.CPU)
    left, right = torch.randn(3, 3, 5), torch.randn(3, 3, 5)
    total, difference = core(left, right)
    assert torch.equal(total, left + right)
    assert torch.equal(difference, left - right)
