"""Refuses submissions that ask for models, presets or stems that no processor has."""

from collections.abc import Collection, Iterable, Sequence
from difflib import SequenceMatcher

from api.offers.merging import Offer, merged
from api.problems import ProblemError
from common.errors import ErrorCode
from common.tasks.messages import Choices, WorkerSeen
from common.tasks.messages.choices import bare_model_name

_MAX_LISTED = 10
# Comparing two names takes up to 0.1 ms.
_MAX_COMPARED = 40


class Offers:
    """Keeps the offer of the processors that were live at the last question. For one event loop."""

    def __init__(self) -> None:
        self._workers: Sequence[WorkerSeen] = ()
        self._offer = merged(())

    def of(self, workers: Sequence[WorkerSeen]) -> Offer:
        """Return what `workers` offer together. The same sequence is merged once."""
        if workers is not self._workers:
            self._workers, self._offer = workers, merged(workers)
        return self._offer

    def check(self, choices: Choices, workers: Sequence[WorkerSeen]) -> None:
        """Raise ProblemError 400 if no live processor can do what was chosen, with what there is instead.

        Without a live processor nothing is refused: the processor that takes the task will judge it.
        """
        offer = self.of(workers)
        if offer.models:
            _check_models(choices, offer)
            _check_stems(choices, offer)


def _check_models(choices: Choices, offer: Offer) -> None:
    if choices.preset is not None and choices.preset not in offer.presets:
        told = f"preset: no processor offers {choices.preset}; {_listed(choices.preset, offer.presets)}"
        raise ProblemError(400, told, error_code=ErrorCode.PRESET_UNKNOWN)
    for path, name in _models(choices):
        if bare_model_name(name) not in offer.models:
            told = f"{path}: no processor has {name}; {_listed(name, offer.models)}"
            raise ProblemError(400, told, error_code=ErrorCode.MODEL_UNKNOWN)


def _check_stems(choices: Choices, offer: Offer) -> None:
    """Leave the stems of an ensemble to the processor: its models call one stem by several names."""
    if choices.models is not None:
        return
    if choices.preset is not None:
        giver, given = f"the preset {choices.preset} gives", offer.presets[choices.preset].stems
    elif choices.model is not None:
        giver, given = f"{choices.model} gives", offer.models[bare_model_name(choices.model)].stems
    else:
        giver, given = "the default model gives", list(offer.default_stems)
    for number, stem in enumerate(choices.stems or ()):
        if given and stem not in given:
            told = f"stems.{number}: {giver} no {stem}; {_listed(stem, dict.fromkeys(given))}"
            raise ProblemError(400, told, error_code=ErrorCode.STEM_UNKNOWN)


def _models(choices: Choices) -> Iterable[tuple[str, str]]:
    """Yield the path and the name of each model that was chosen by its name."""
    if choices.model is not None:
        yield "model", choices.model
    for number, name in enumerate(choices.models or ()):
        yield f"models.{number}", name


def _listed(wanted: str, names: Collection[str]) -> str:
    """List the names that there are, those like `wanted` first."""
    if not names:
        return "there is none"
    matcher = SequenceMatcher(b=wanted.lower(), autojunk=False)

    def unlike(name: str, quick: bool) -> float:
        matcher.set_seq1(name.lower())
        return -(matcher.quick_ratio() if quick else matcher.ratio())

    nearest = sorted(names, key=lambda name: unlike(name, True))[:_MAX_COMPARED]
    few = sorted(nearest, key=lambda name: unlike(name, False))[:_MAX_LISTED]
    more = len(names) - len(few)
    verb = "is" if len(names) == 1 else "are"
    return f"there {verb} {', '.join(few)}" + (f" and {more} more" if more else "")
