"""Works through the steps of a recipe: each model's stems, their combination, and the next step's source."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CrashError, ErrorCode, PermanentError
from common.tasks.messages import UsedModel
from common.waiting import StopCheck
from processor.engine.protocol import Separation, SeparationEngine
from processor.ensemble import combine, stem_source
from processor.ensemble.stem_source import StemSource
from processor.output.finish import FloatStems
from processor.presets.recipe import Recipe, Step, common_stems, ensemble_name, require_stems
from processor.presets.schema import MIX
from processor.separation.loaded_model import Residual

log = logging.getLogger(__name__)

# Combining takes this share of the time of one model.
_COMBINING = 0.1


@dataclass(frozen=True)
class ChainResult:
    """The stems of a recipe, and what gave them. `took_s` is how long the engine worked, in seconds."""

    stems: FloatStems
    used: tuple[UsedModel, ...]
    device: str
    took_s: float


@dataclass(frozen=True)
class _Given:
    """The stems of a step: those with a file, and one that is the rest of the step's `source`."""

    paths: Mapping[str, Path]
    residual: Residual | None
    source: Path

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.paths, self.residual.name) if self.residual else tuple(self.paths)

    def stem(self, name: str) -> StemSource:
        if self.residual and name == self.residual.name:
            return StemSource(self.source, self.paths[self.residual.of])
        return StemSource(self.paths[name])

    def renamed(self) -> "_Given":
        """Return the same stems by the names that ensembles and presets have for them."""
        new = {name: ensemble_name(name, self.names) for name in self.names}
        residual = self.residual and Residual(new[self.residual.name], new[self.residual.of])
        return _Given({new[name]: path for name, path in self.paths.items()}, residual, self.source)

    def only(self, wanted: Sequence[str]) -> "_Given":
        """Return the wanted stems, and the stem that a wanted residual is made of."""
        residual = self.residual if self.residual and self.residual.name in wanted else None
        kept = {*wanted, residual.of} if residual else set(wanted)
        paths = {name: path for name, path in self.paths.items() if name in kept}
        return _Given(paths, residual, self.source)

    @property
    def adds_up(self) -> bool:
        """Tell whether these are two stems that add up to the source."""
        return self.residual is not None and len(self.paths) == 1


class Chain:
    """Works through one recipe, in the thread of its job.

    Each step's stems lie in `directory`, complete, before the next step begins. Where the engine dies in a
    later run of a model, that run alone is done again, once.
    """

    def __init__(
        self,
        engine: SeparationEngine,
        recipe: Recipe,
        mix: Path,
        directory: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ):
        """Take a 44.1 kHz stereo `mix` and an empty `directory`; see SeparationEngine for the last two."""
        self._engine, self._recipe, self._directory = engine, recipe, directory
        self._check, self._on_progress = check, on_progress
        self._stems: dict[str, StemSource] = {MIX: StemSource(mix)}
        self._runs: list[Separation] = []
        self._done = 0.0
        ensembles = sum(len(step.models) > 1 for step in recipe.steps)
        self._total = len(recipe.models) + _COMBINING * ensembles
        self._may_repeat = True

    def run(self) -> ChainResult:
        """Return the stems of the last step.

        Raises PermanentError (stem_unknown: a model lacks a stem that its step is to give), OSError, and what
        the engine and `check` raise.
        """
        for number, step in enumerate(self._recipe.steps, 1):
            log.info("step %d of %d: %s", number, len(self._recipe.steps), ", ".join(step.models))
            given = self._step(step, self._directory / f"step-{number}")
            self._stems |= {name: given.stem(name) for name in given.names}
        last = self._recipe.steps[-1]
        stems = FloatStems(given.paths, given.residual, None if last.on == MIX else given.source)
        took_s = sum(run.took_s for run in self._runs)
        return ChainResult(stems, tuple(map(used_model, self._runs)), self._runs[-1].device, took_s)

    def _step(self, step: Step, directory: Path) -> _Given:
        directory.mkdir()
        source = self._file(step.on, directory)
        given = [
            self._separated(model, source, directory / f"model-{index}")
            for index, model in enumerate(step.models)
        ]
        if len(given) == 1:
            found = given[0].renamed() if step.stems else given[0]
        else:
            found = self._combined(step, [each.renamed() for each in given], directory)
        if step.stems is None:
            return found
        require_stems(step.stems, found.names)
        return found.only(step.stems)

    def _file(self, name: str, directory: Path) -> Path:
        """Return a file with the stem, which is written now where the stem is the rest of another file."""
        stem = self._stems[name]
        if stem.minus is None:
            return stem.path
        path = directory / "source.wav"
        stem_source.write(stem, path)
        return path

    def _separated(self, model: str, source: Path, directory: Path) -> _Given:
        def on_progress(fraction: float) -> None:
            self._on_progress((self._done + fraction) / self._total)

        def run() -> Separation:
            return self._engine.separate(source, directory, self._check, on_progress, model, floats=True)

        directory.mkdir()
        try:
            done = run()
        except CrashError as error:
            if not self._runs or not self._may_repeat:
                raise
            self._may_repeat = False
            log.warning("%s; what is done so far is kept, and %s begins anew", error.message, model)
            done = run()
        self._runs.append(done)
        self._done += 1
        return _Given({name: stem.path for name, stem in done.stems.items()}, done.residual, source)

    def _combined(self, step: Step, given: Sequence[_Given], directory: Path) -> _Given:
        """Combine the stems that all models give, and remove the models' own files."""
        common = common_stems([each.names for each in given])
        wanted = [name for name in common if step.stems is None or name in step.stems]
        if not common:
            message = f"The models {', '.join(step.models)} have no stem in common"
            raise PermanentError(ErrorCode.STEM_UNKNOWN, message)
        require_stems(step.stems or (), common)
        residual = _residual(step, given, common)
        names = [residual.of] if residual else wanted
        paths = {}
        for number, name in enumerate(names):
            path = paths[name] = directory / f"{name}.wav"
            sources = [each.stem(name) for each in given]
            combine.combine(
                sources, step.ensemble, step.weights, path, self._check, self._combining(number, len(names))
            )
        self._done += _COMBINING
        for each in given:
            for path in each.paths.values():
                path.unlink()
        return _Given(paths, residual, given[0].source)

    def _combining(self, number: int, count: int) -> Callable[[float], None]:
        def on_progress(fraction: float) -> None:
            self._on_progress((self._done + _COMBINING * (number + fraction) / count) / self._total)

        return on_progress


def _residual(step: Step, given: Sequence[_Given], common: Sequence[str]) -> Residual | None:
    """Return the stem that is the rest of the source beside the other one, where they are averages.

    The averages of two stems that add up to the source do so too.
    """
    if step.ensemble not in ("avg_wave", "avg_fft") or not all(each.adds_up for each in given):
        return None
    first = given[0].residual
    return first if first and {first.name, first.of} == set(common) else None


def used_model(run: Separation) -> UsedModel:
    """Return what a run of a model says about the model."""
    computed = run.computed
    return UsedModel(
        name=run.model,
        sha256=computed.sha256,
        runtime=computed.runtime,
        precision=computed.precision,
        precision_fallback=computed.fallback,
    )
