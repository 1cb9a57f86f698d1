"""Makes the stems that a user chose, of a prepared song."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.storage.stage_keys import PEAKS_FILE
from common.tasks.messages import UsedModel, WrittenOutput
from common.tasks.messages.choices import Choices, Format
from common.waiting import StopCheck
from processor.audio import peaks, stem_writer
from processor.audio.prepare import PreparedAudio
from processor.audio.wav import SAMPLE_RATE
from processor.audio.window import Window
from processor.child_process import Spawn, spawn_for_song
from processor.engine.protocol import SeparationEngine, StemFile
from processor.output import resolved
from processor.output.finish import finish
from processor.output.resolved import ResolvedOutput
from processor.presets.chain import Chain, used_model
from processor.presets.recipe import Recipe, Recipes, require_stems

log = logging.getLogger(__name__)

# The models take this share of the time; finishing their stems is the rest.
_CHAIN_SHARE = 0.9


@dataclass(frozen=True)
class Plan:
    """A user's choice, with nothing left open. `writes_directly`: the engine writes the files itself."""

    recipe: Recipe
    output: ResolvedOutput
    window: Window
    writes_directly: bool

    @property
    def keeps_source(self) -> bool:
        """True where the song is needed at its own rate."""
        return not self.writes_directly and self.output.needs_source


@dataclass(frozen=True)
class Made:
    """The finished stems of a song by name, all multiplied by `gain`, and what made them.

    `took_s` is how long the engine worked, in seconds. `peaks` is the file of processor.audio.peaks; None
    from an engine that makes none.
    """

    stems: dict[str, StemFile]
    gain: float
    device: str
    took_s: float
    used: tuple[UsedModel, ...]
    output: WrittenOutput
    peaks: Path | None = None

    @property
    def model(self) -> str:
        """The names of the models, each once."""
        return ", ".join(dict.fromkeys(model.name for model in self.used))

    def warn_of_fallbacks(self) -> None:
        """Log which models were not computed in the precision that was chosen, and why."""
        for model in self.used:
            if model.precision_fallback:
                log.warning("computed in %s: %s", model.precision, model.precision_fallback)


class Maker:
    """Makes stems by one engine. Thread-safe if the engine is.

    `format` is the operator's, for users who name none. `spawn` starts the writers of stems.
    """

    def __init__(
        self, engine: SeparationEngine, recipes: Recipes, format: Format, spawn: Spawn = spawn_for_song
    ):
        self._engine, self._recipes, self._format, self._spawn = engine, recipes, format, spawn

    def plan(self, choices: Choices | None) -> Plan:
        """Return what is to be made.

        Raises UnlikelyError (model_unknown, preset_unknown) and PermanentError (stem_unknown,
        format_unsupported).
        """
        asked = choices or Choices()
        output = resolved.resolve(asked.output, self._format)
        recipe = self._recipes.resolve(choices)
        is_default = output == resolved.resolve(None, self._format)
        is_engines = is_default and self._format in stem_writer.FORMATS
        return Plan(
            recipe,
            output,
            Window(asked.start_s or 0.0, asked.duration_s),
            is_engines and recipe.single_model is not None,
        )

    def make(
        self,
        plan: Plan,
        mix: PreparedAudio,
        directory: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ) -> Made:
        """Make the stems in `directory`, which is empty; see SeparationEngine for the last two arguments.

        Raises PermanentError (stem_unknown), and what the engine, `check` and `finish` raise.
        """
        target = directory / "stems"
        target.mkdir(parents=True)
        if plan.writes_directly and (model := plan.recipe.single_model):
            return self._directly(plan, model, mix, target, check, on_progress)
        done = Chain(
            self._engine,
            plan.recipe,
            mix.path,
            directory,
            check,
            lambda fraction: on_progress(_CHAIN_SHARE * fraction),
        ).run()
        finished = finish(
            done.stems,
            mix.source,
            plan.output,
            plan.recipe.stems or plan.recipe.steps[-1].stems,
            target,
            check,
            lambda fraction: on_progress(_CHAIN_SHARE + (1 - _CHAIN_SHARE) * fraction),
            spawn=self._spawn,
        )
        return Made(
            finished.stems,
            finished.gain,
            done.device,
            done.took_s,
            done.used,
            finished.output,
            _peaks_in(target),
        )

    def _directly(
        self,
        plan: Plan,
        model: str,
        mix: PreparedAudio,
        target: Path,
        check: StopCheck,
        on_progress: Callable[[float], None],
    ) -> Made:
        """Let the engine write the files; remove those that the user does not want."""
        if model == self._recipes.default:
            done = self._engine.separate(mix.path, target, check, on_progress)
        else:
            done = self._engine.separate(mix.path, target, check, on_progress, model)
        wanted = plan.recipe.stems or tuple(done.stems)
        require_stems(wanted, tuple(done.stems))
        for name, stem in done.stems.items():
            if name not in wanted:
                stem.path.unlink()
        stems = {name: stem for name, stem in done.stems.items() if name in wanted}
        found = _peaks_in(target)
        if found and len(stems) < len(done.stems):
            peaks.keep_only(found, stems)
        written = WrittenOutput(
            format=plan.output.format,
            sample_rate_hz=SAMPLE_RATE,
            bit_depth=plan.output.bit_depth,
            bitrate_kbps=plan.output.bitrate_kbps,
            normalize=plan.output.normalize,
        )
        return Made(stems, done.gain, done.device, done.took_s, (used_model(done),), written, found)


def _peaks_in(directory: Path) -> Path | None:
    path = directory / PEAKS_FILE
    return path if path.exists() else None
