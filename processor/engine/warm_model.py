"""Holds the loaded model of the engine's process, and separates songs with it."""

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from common.waiting import StopCheck
from processor.audio.stem_writer import Format
from processor.child_process import JsonObject
from processor.models.model_files import ModelFiles
from processor.preparation import installation
from processor.preparation.decision import RequestedPrecision
from processor.separation import device, loaded_model, streaming
from processor.separation.device import Device, DeviceChoice, Requested
from processor.separation.loaded_model import LoadedModel
from processor.separation.runtimes.core import Plan
from processor.separation.streaming import NotFinite, Stems

log = logging.getLogger(__name__)

_REPORT_INTERVAL_S = 0.2


def load(
    files: ModelFiles, requested: Requested, precision: RequestedPrecision, format: Format
) -> "WarmModel":
    """Load the model on the requested device. Raises ModelUnavailable and DeviceUnavailable."""
    choice = installation.choose_device(files, requested)
    loader = _Loader(files, choice)
    plan = installation.kept_plan(files, choice, precision)
    model = loader.load(plan)
    return WarmModel(loader, plan, model, device.confirm(requested, model.placement), format)


@dataclass(frozen=True)
class _Loader:
    """Loads the model on its device."""

    files: ModelFiles
    device: DeviceChoice

    def load(self, plan: Plan | None) -> LoadedModel:
        """Load the model as planned; where that fails, by its own runtime. Raises ModelUnavailable."""
        try:
            return self._load(plan)
        except Exception as error:  # a prepared file may fail in any way; the model has its own
            if plan is None:
                raise
            log.warning("%s cannot be loaded as it was prepared", self.files.name, exc_info=error)
            return self._load(None)

    def _load(self, plan: Plan | None) -> LoadedModel:
        if loaded_model.uses_torch(self.files, self.device, plan):
            _keep_torch_to_one_network()
        return loaded_model.load(self.files, self.device, plan)


@dataclass(frozen=True)
class WarmModel:
    """A loaded model, where it runs, and how its stems are written. `plan`: how it was to be computed."""

    _loader: _Loader
    _plan: Plan | None
    _model: LoadedModel
    _device: Device
    _format: Format

    def describe(self) -> JsonObject:
        """Return the model's name, its device, and how it is computed."""
        return {"model": self._model.name, "device": self._device, **_computed(self._model)}

    def separate(
        self, source: Path, target_dir: Path, report: Callable[[float], None], check: StopCheck
    ) -> JsonObject:
        """Separate one mix; return the stems' paths by name, their frames and gain, and how it was computed.

        `report` gets 0 to 1 now and then. Raises what `check` and streaming.separate raise.
        """

        def run(model: LoadedModel) -> Stems:
            return streaming.separate(model, source, target_dir, self._format, _now_and_then(report), check)

        return self._answer(run, target_dir, self._format)

    def separate_to_floats(
        self, source: Path, target_dir: Path, report: Callable[[float], None], check: StopCheck
    ) -> JsonObject:
        """Separate one mix into float stems; return what `separate` does, and `residual`.

        `residual` has the `name` of the stem without a file and the stem `of` that it goes with; None where
        each stem has a file.
        """

        def run(model: LoadedModel) -> Stems:
            return streaming.separate_to_floats(model, source, target_dir, _now_and_then(report), check)

        residual = self._model.residual
        answer = self._answer(run, target_dir, "wav")
        return {**answer, "residual": asdict(residual) if residual else None}

    def _answer(self, run: Callable[[LoadedModel], Stems], target_dir: Path, format: Format) -> JsonObject:
        stems, computed = self._run(run)
        paths = {name: streaming.stem_path(target_dir, name, format) for name in stems.names}
        return {
            "stems": {name: str(path) for name, path in paths.items()},
            "frames": stems.frames,
            "gain": stems.gain,
            "computed": computed,
        }

    def _run(self, run: Callable[[LoadedModel], Stems]) -> tuple[Stems, JsonObject]:
        """Run once, and again in float32 where a faster precision gives NaN; tell how it was computed."""
        try:
            return run(self._model), _computed(self._model)
        except NotFinite as error:
            if self._plan is None or self._model.precision == "fp32":
                raise
            reason = f"{self._model.precision}: {error.message}"
        log.warning("separating again in float32: %s", reason)
        # Loaded for this song alone: two loaded models would double the memory for a rare case.
        exact = self._loader.load(replace(self._plan, precision="fp32"))
        return run(exact), {**_computed(exact), "fallback": reason}


@functools.cache
def _keep_torch_to_one_network() -> None:
    """Import torch, and let it start one network's work at a time. torch takes that setting once."""
    import torch

    torch.set_num_interop_threads(1)


def _computed(model: LoadedModel) -> JsonObject:
    return {"runtime": model.runtime, "precision": model.precision}


def _now_and_then(report: Callable[[float], None]) -> Callable[[float], None]:
    """Pass on the end, and no more than five reports a second before it."""
    last_s = 0.0

    def send(fraction: float) -> None:
        nonlocal last_s
        if fraction >= 1 or time.monotonic() - last_s >= _REPORT_INTERVAL_S:
            last_s = time.monotonic()
            report(fraction)

    return send
