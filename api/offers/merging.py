"""Merges the announcements of several processors into one list of models and one of presets."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from api.offers.models import OfferedModel, OfferedPreset, OnDevice
from common.tasks.messages import WorkerSeen
from common.tasks.messages.choices import bare_model_name
from common.tasks.messages.worker import AvailablePreset, InstalledModel

T = TypeVar("T", InstalledModel, AvailablePreset)
# A thing that processors have, with each processor that has it.
Owned = Sequence[tuple[WorkerSeen, T]]


@dataclass(frozen=True)
class Offer:
    """Models and presets by name, in the order of the names. Models are found without their file's extension.

    `default_stems` are those of the default models; empty where a default model's stems are not known.
    """

    models: Mapping[str, OfferedModel]
    presets: Mapping[str, OfferedPreset]
    default_stems: tuple[str, ...]


def merged(workers: Sequence[WorkerSeen]) -> Offer:
    """Return what `workers` offer together. Where they differ, the first one describes a thing."""
    models = {name: _model(owned) for name, owned in _by_name((w, w.models) for w in workers).items()}
    presets = {name: _preset(owned) for name, owned in _by_name((w, w.presets) for w in workers).items()}
    default = [model.stems for model in models.values() if model.is_default]
    default_stems = dict.fromkeys(stem for stems in default for stem in stems)
    return Offer(models, presets, tuple(default_stems) if all(default) else ())


def _by_name(having: Iterable[tuple[WorkerSeen, Iterable[T]]]) -> dict[str, Owned[T]]:
    found: defaultdict[str, list[tuple[WorkerSeen, T]]] = defaultdict(list)
    for worker, things in having:
        for thing in things:
            found[bare_model_name(thing.name)].append((worker, thing))
    return dict(sorted(found.items()))


def _model(owned: Owned[InstalledModel]) -> OfferedModel:
    first = owned[0][1]
    return OfferedModel(
        name=first.name,
        architecture=first.architecture,
        stems=_stems(owned),
        license=next((model.license for _, model in owned if model.license), None),
        scores=next((model.scores for _, model in owned if model.scores), {}),
        is_default=any(bare_model_name(w.default_model) == bare_model_name(m.name) for w, m in owned),
        speed=_fastest(model.speed for _, model in owned),
        devices=_devices(owned),
        workers=len(owned),
        warm_on=sum(model.is_warm for _, model in owned),
    )


def _preset(owned: Owned[AvailablePreset]) -> OfferedPreset:
    first = owned[0][1]
    return OfferedPreset(
        name=first.name,
        description=first.description,
        stems=_stems(owned),
        steps=list(first.steps),
        speed=_fastest(preset.speed for _, preset in owned),
        devices=_devices(owned),
        workers=len(owned),
    )


def _stems(owned: Owned[T]) -> list[str]:
    return list(dict.fromkeys(stem for _, thing in owned for stem in thing.stems))


def _devices(owned: Owned[T]) -> list[OnDevice]:
    by_device: defaultdict[str, list[float | None]] = defaultdict(list)
    for worker, thing in owned:
        by_device[worker.device].append(thing.speed)
    return [
        OnDevice(device=device, workers=len(speeds), speed=_fastest(speeds))
        for device, speeds in sorted(by_device.items())
    ]


def _fastest(speeds: Iterable[float | None]) -> float | None:
    return max((speed for speed in speeds if speed is not None), default=None)
