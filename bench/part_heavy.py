"""Compares the engine with the library on a model of ten times the cost, which takes nearly all the time."""

import statistics
from pathlib import Path

import onnx

from bench import library
from bench.part_engine import OTHER, both_sides, in_turn
from bench.report import Target, compare
from bench.setup import MODEL, Bench
from processor.models import catalogue, spleeter

_NAME = "heavy"
_TIMES = 10


def run(bench: Bench) -> None:
    _write_heavy_model(bench.model_dir)
    seconds = bench.sizes.heavy_song_s
    with both_sides(bench, "heavy", _NAME) as sides:
        runs = in_turn(bench, sides, seconds)
    ours, theirs = (statistics.median(one.wall_s for one in runs[kind]) for kind in ("engine", "library"))
    what = f"wall time, {seconds:g} s song, {_TIMES} times the network"
    bench.add(compare("heavy", what, "s", ours, theirs, OTHER, Target("at most", 1.0)))


def _write_heavy_model(model_dir: Path) -> None:
    """Write the other parts' model ten times in a chain: its answer is meaningless, its cost is ten times."""
    light = onnx.load(model_dir / f"{MODEL}.onnx")
    heavy = onnx.ModelProto()
    heavy.CopyFrom(light)
    del heavy.graph.node[:]
    source = "input"
    for number in range(_TIMES):
        answer = "output" if number == _TIMES - 1 else f"answer.{number}"
        heavy.graph.node.extend(_renamed(light.graph, number, source, answer))
        source = answer
    # Change the end of the file: the library knows a model by the hash of its end.
    onnx.helper.set_model_props(heavy, {"made": f"{_TIMES} times {MODEL}"})
    path = model_dir / f"{_NAME}.onnx"
    onnx.save(heavy, path)
    with catalogue.lock(model_dir):
        catalogue.add_mdx_parameters(model_dir, path, spleeter.MODEL_DATA)
    library.list_model(model_dir, _NAME)


def _renamed(graph: onnx.GraphProto, number: int, source: str, answer: str) -> list[onnx.NodeProto]:
    """Return a copy of the graph's nodes that reads `source` and writes `answer`; weights are shared."""
    shared = {weight.name for weight in graph.initializer} | {""}

    def name(old: str) -> str:
        if old in shared:
            return old
        return {"input": source, "output": answer}.get(old, f"{number}/{old}")

    copies = []
    for node in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{number}/{node.name}"
        copy.input[:] = [name(old) for old in node.input]
        copy.output[:] = [name(old) for old in node.output]
        copies.append(copy)
    return copies
