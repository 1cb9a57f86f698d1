"""Announces in `uvr_models` which models and presets this processor has."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from common import __version__
from common.kafka.records import Message
from common.tasks.job_status import Outbox
from common.tasks.messages import WorkerSeen
from common.tasks.messages.worker import AvailablePreset, InstalledModel, PresetStep
from processor.engine.protocol import Installed
from processor.models import catalogue, names
from processor.presets.recipe import Recipes
from processor.presets.schema import Preset

log = logging.getLogger(__name__)

_ANNOUNCED_EVERY_S = 60.0
# The first announcements follow sooner: at a cluster's first start the topic may not be there yet.
_FIRST_AGAIN_S = 5.0
# Models that take turns must not fill the topic.
_WARM_AGAIN_S = 5.0
_LOOK_EVERY_S = 1.0
_MOST_BYTES = 500_000


class Room(Protocol):
    """The engine room, as far as it is announced."""

    @property
    def warm(self) -> tuple[str, ...]: ...

    @property
    def installed(self) -> tuple[Installed, ...]: ...

    @property
    def device(self) -> str: ...


@dataclass(frozen=True)
class Identity:
    """The processor that is announced. `running` returns how many tasks it works on."""

    worker_id: str
    topic: str
    slots: int
    running: Callable[[], int]


class Announcer:
    """Announces the processor from a thread of its own."""

    def __init__(
        self,
        identity: Identity,
        room: Room,
        recipes: Recipes,
        outbox: Outbox,
        wall_clock: Callable[[], float] = time.time,
    ):
        self._identity, self._room, self._recipes = identity, room, recipes
        self._outbox, self._wall_clock = outbox, wall_clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Announce until `stop`. Call this when the models are installed."""
        self._thread.start()

    def stop(self, in_good_order: bool) -> None:
        """Announce nothing more; `in_good_order`, announce at last that the processor has stopped."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
            if in_good_order:
                self._put(stopped=True)

    def _run(self) -> None:
        announced, due_s, again_s = None, 0.0, _FIRST_AGAIN_S
        last_s = 0.0
        while not self._stopping.is_set():
            warm, now_s = set(self._room.warm), time.monotonic()
            is_news = warm != announced and now_s >= last_s + _WARM_AGAIN_S
            if now_s >= due_s or is_news:
                self._put()
                announced, last_s = warm, now_s
                due_s, again_s = now_s + again_s, min(2 * again_s, _ANNOUNCED_EVERY_S)
            self._stopping.wait(_LOOK_EVERY_S)

    def _put(self, stopped: bool = False) -> None:
        seen = self.seen(stopped)
        self._outbox.put(self, Message(self._identity.topic, seen.worker_id.encode(), seen.to_bytes()))

    def seen(self, stopped: bool = False) -> WorkerSeen:
        """Return the announcement, which has at most 500 KB: presets that do not fit are left out."""
        warm = set(self._room.warm)
        installed = self._room.installed
        speeds = {model.name: model.speed for model in installed}
        presets = [
            _preset(name, preset, self._recipes, speeds) for name, preset in self._recipes.available.items()
        ]
        seen = WorkerSeen(
            worker_id=self._identity.worker_id,
            at=self._wall_clock(),
            stopped=stopped,
            version=__version__,
            device=self._room.device[:200],
            slots=self._identity.slots,
            running=self._identity.running(),
            default_model=self._recipes.default,
            models=tuple(_model(model, model.name in warm) for model in installed),
        )
        left = _MOST_BYTES - len(seen.to_bytes())
        fitting: list[AvailablePreset] = []
        for preset in presets:
            left -= len(preset.to_bytes()) + 1
            if left < 0:
                log.warning("%d presets are not announced: they are too long", len(presets) - len(fitting))
                break
            fitting.append(preset)
        return seen.model_copy(update={"presets": tuple(fitting)})


def _model(installed: Installed, is_warm: bool) -> InstalledModel:
    return InstalledModel(
        name=installed.name,
        architecture=installed.architecture,
        stems=installed.stems,
        sha256=installed.sha256,
        speed=installed.speed,
        runtime=installed.runtime,
        precision=installed.precision,
        is_warm=is_warm,
        scores=catalogue.scores_db(installed.name),
    )


def _preset(name: str, preset: Preset, recipes: Recipes, speeds: dict[str, float | None]) -> AvailablePreset:
    models = [names.find(model, recipes.models) for model in preset.models]
    return AvailablePreset(
        name=name,
        description=preset.description,
        steps=tuple(
            PresetStep(
                models=tuple(names.find(model, recipes.models) for model in step.models),
                ensemble=step.ensemble,
                on=step.on,
                stems=step.stems,
            )
            for step in preset.steps
        ),
        stems=preset.stems,
        speed=_speed([speeds.get(model) for model in models]),
    )


def _speed(speeds: list[float | None]) -> float | None:
    """Return the speed of models that work one after another; None where one was not measured."""
    total = 0.0
    for speed in speeds:
        if not speed:
            return None
        total += 1 / speed
    return round(1 / total, 2)
