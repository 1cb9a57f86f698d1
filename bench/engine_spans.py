"""Reads the file in which a measured processor notes when its engine worked."""

import json
from pathlib import Path

# The processor that notes its engine's spans in the file ENGINE_SPANS.
MEASURED_PROCESSOR = "tests.support.processor.stand_in_processor"

Span = tuple[float, float]


def spans(path: Path) -> list[Span]:
    """Returns the spans (from and until, in seconds since the epoch) in `path` so far, in order."""
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
