"""Measures peak RSS by the song's length for the torch architectures, with a small random network of each.

The networks are too small for a measure of speed. Memory that grows with the song is not in the networks.
"""

from bench.part_memory import add_growth, engine_peak_mb
from bench.setup import Bench
from bench.songs import song
from tests.support.processor.random_checkpoints import WRITERS


def run(bench: Bench) -> None:
    model_dir = bench.scratch("random-models")
    for write in WRITERS.values():
        model = write(model_dir)
        peaks_mb = {
            seconds: engine_peak_mb(bench, model, model_dir, song(bench.directory, seconds, prepared=True))
            for seconds in bench.sizes.architecture_memory_s
        }
        add_growth(bench, "architectures", f"peak RSS, {model}", peaks_mb)
