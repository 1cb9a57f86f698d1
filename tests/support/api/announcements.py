"""What processors announce of themselves."""

import time
from typing import Any

from common.tasks.messages import WorkerSeen
from common.tasks.messages.worker import AvailablePreset, InstalledModel, PresetStep

TWO_STEMS = ("vocals", "instrumental")


def model(name: str, stems: tuple[str, ...] = TWO_STEMS, **fields: Any) -> InstalledModel:
    return InstalledModel(**{"name": name, "architecture": "MDX", "stems": stems} | fields)


def preset(name: str, stems: tuple[str, ...] = TWO_STEMS, **fields: Any) -> AvailablePreset:
    steps = (PresetStep(models=("A",), stems=stems),)
    return AvailablePreset(**{"name": name, "description": "d", "steps": steps, "stems": stems} | fields)


def worker(worker_id: str = "one", at: float | None = None, **fields: Any) -> WorkerSeen:
    """It has model A with two stems, the default, and B with four; and the preset `best`."""
    given = {
        "worker_id": worker_id,
        "at": time.time() if at is None else at,
        "version": "1.0.0",
        "device": "cpu",
        "slots": 2,
        "default_model": "A",
        "models": (model("A"), model("B", ("vocals", "drums", "bass", "other"))),
        "presets": (preset("best"),),
    }
    return WorkerSeen(**given | fields)
