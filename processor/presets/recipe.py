"""Settles what a user chose: which models work in which steps, and which stems the user gets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from common.errors import ErrorCode, PermanentError, UnlikelyError
from common.tasks.messages.choices import Choices, Ensemble
from processor.models import names
from processor.models.names import UnknownModel
from processor.presets.schema import DEFAULT_ENSEMBLE, MIX, Preset

# The names that the library takes for the rest beside the vocals, in its `separator/separator.py`.
_INSTRUMENTAL = ("inst", "karaoke", "no_vocals")


@dataclass(frozen=True)
class Step:
    """Models that separate the mix or the stem `on`, and how their stems are combined.

    `stems` are the stems that the step gives; None: all. `weights` has one for each model.
    """

    models: tuple[str, ...]
    ensemble: Ensemble = DEFAULT_ENSEMBLE
    weights: tuple[float, ...] = ()
    on: str = MIX
    stems: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Recipe:
    """Steps, of which the last gives the song's stems. `stems` are those that the user wants; None: all."""

    steps: tuple[Step, ...]
    stems: tuple[str, ...] | None = None

    @property
    def single_model(self) -> str | None:
        """The model of a recipe that has one step with one model on the mix, and takes all of its stems."""
        first, *more = self.steps
        is_single = not more and len(first.models) == 1 and first.stems is None
        return first.models[0] if is_single else None

    @property
    def models(self) -> tuple[str, ...]:
        """The models in the order of use; one that is used twice is there twice."""
        return tuple(model for step in self.steps for model in step.models)


class Recipes:
    """Makes recipes of choices, from the models and presets that a processor has.

    `models` has the default model first. `stems_of` returns the stems of a model; () where unknown.
    """

    def __init__(
        self,
        models: Sequence[str],
        presets: Mapping[str, Preset],
        stems_of: Callable[[str], tuple[str, ...]] = lambda model: (),
    ):
        self.models, self._stems_of = tuple(models), stems_of
        self.available = {
            name: preset for name, preset in presets.items() if all(map(self._has, preset.models))
        }

    @property
    def default(self) -> str:
        """The model of those who choose none."""
        return self.models[0]

    def resolve(self, choices: Choices | None) -> Recipe:
        """Return the recipe of a song.

        Raises UnlikelyError (model_unknown, preset_unknown): while processors get other MODELS one after
        another, one of them may have what this one lacks. Raises PermanentError (stem_unknown). The messages
        list what there is.
        """
        asked = choices or Choices()
        recipe = Recipe(self._steps(asked), asked.stems)
        *earlier, last = recipe.steps
        if asked.stems and (given := self._given(last)):
            require_stems(asked.stems, given)
        if asked.stems and recipe.single_model is None:  # what nobody wants need not be combined
            return Recipe((*earlier, replace(last, stems=asked.stems)), asked.stems)
        return recipe

    def _steps(self, asked: Choices) -> tuple[Step, ...]:
        if asked.preset is not None:
            return self._of_preset(asked.preset)
        if asked.models is not None:
            weights = asked.weights or (1.0,) * len(asked.models)
            return (Step(self._found(asked.models), asked.ensemble or DEFAULT_ENSEMBLE, weights),)
        return (Step(self._found([asked.model] if asked.model else self.models[:1])),)

    def _of_preset(self, name: str) -> tuple[Step, ...]:
        preset = self.available.get(name)
        if preset is None:
            there = ", ".join(sorted(self.available)) or "none"
            raise UnlikelyError(
                ErrorCode.PRESET_UNKNOWN, f"There is no preset {name} here. There are: {there}"
            )
        return tuple(
            Step(
                self._found(step.models),
                step.ensemble or DEFAULT_ENSEMBLE,
                step.weights or (1.0,) * len(step.models),
                step.on,
                step.stems,
            )
            for step in preset.steps
        )

    def _found(self, wanted: Sequence[str]) -> tuple[str, ...]:
        try:
            return tuple(names.find(model, self.models) for model in wanted)
        except UnknownModel as error:
            raise UnlikelyError(ErrorCode.MODEL_UNKNOWN, str(error)) from None

    def _has(self, model: str) -> bool:
        try:
            names.find(model, self.models)
        except UnknownModel:
            return False
        return True

    def _given(self, step: Step) -> tuple[str, ...]:
        """Return the stems that the step will give; () where they are not known before the models work."""
        if step.stems is not None:
            return step.stems
        given = [self._stems_of(model) for model in step.models]
        if not all(given):
            return ()
        return given[0] if len(given) == 1 else common_stems(given)


def require_stems(wanted: Sequence[str], given: Sequence[str]) -> None:
    """Raise PermanentError (stem_unknown) where a wanted stem is not given."""
    if unknown := [stem for stem in wanted if stem not in given]:
        message = f"There is no stem {', '.join(unknown)}. There are: {', '.join(given)}"
        raise PermanentError(ErrorCode.STEM_UNKNOWN, message)


def common_stems(given: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the stems that all models of an ensemble give, by the names that `ensemble_name` gives them."""
    named = [[ensemble_name(stem, stems) for stem in stems] for stems in given]
    return tuple(stem for stem in named[0] if all(stem in others for others in named[1:]))


def ensemble_name(stem: str, stems: Sequence[str]) -> str:
    """Return the name by which `stem`, one of a model's `stems`, is combined with other models' stems.

    The rest beside the vocals is the instrumental, whatever the model calls it, and the rest beside the
    instrumental is the vocals.
    """
    if stem in _INSTRUMENTAL:
        return "instrumental"
    if stem == "other" and len(stems) == 2:
        return "instrumental" if "vocals" in stems else _beside_instrumental(stems)
    return stem


def _beside_instrumental(stems: Sequence[str]) -> str:
    return "vocals" if {*_INSTRUMENTAL, "instrumental"} & set(stems) else "other"
