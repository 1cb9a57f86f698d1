"""What a user chose becomes steps, or an error that lists what there is."""

import pytest

from common.errors import ErrorCode, PermanentError, UnlikelyError
from common.tasks.messages.choices import Choices
from processor.presets.recipe import Recipe, Recipes, Step, common_stems
from processor.presets.schema import Preset

DRY = Preset.model_validate(
    {
        "description": "x",
        "steps": [
            {"models": ["a", "b"], "stems": ["vocals", "instrumental"]},
            {"models": ["c.ckpt"], "on": "vocals", "stems": ["noreverb"]},
        ],
    }
)
AWAY = Preset.model_validate({"description": "x", "steps": [{"models": ["away"], "stems": ["vocals"]}]})
STEMS = {"a": ("vocals", "instrumental"), "b": ("vocals", "other"), "c": ("noreverb", "reverb")}


def recipes() -> Recipes:
    return Recipes(["a", "b", "c"], {"dry": DRY, "away": AWAY}, STEMS.__getitem__)


@pytest.mark.parametrize("choices", [None, Choices(), Choices(start_s=3.0)])
def test_no_choice_is_the_default_model(choices):
    recipe = recipes().resolve(choices)
    assert (recipe, recipe.single_model) == (Recipe((Step(("a",)),)), "a")


def test_a_model_is_one_step_and_the_stems_are_selected_of_it():
    recipe = recipes().resolve(Choices(model="b.onnx", stems=("other",)))
    assert (recipe.single_model, recipe.stems) == ("b", ("other",))


def test_models_are_an_ensemble_with_equal_weights():
    (step,) = recipes().resolve(Choices(models=("a", "b"))).steps
    assert (step.models, step.ensemble, step.weights) == (("a", "b"), "avg_fft", (1.0, 1.0))
    (step,) = recipes().resolve(Choices(models=("a", "b"), ensemble="max_wave", weights=(2.0, 1.0))).steps
    assert (step.ensemble, step.weights) == ("max_wave", (2.0, 1.0))


def test_only_the_stems_that_somebody_wants_are_combined():
    (step,) = recipes().resolve(Choices(models=("a", "b"), stems=("instrumental",))).steps
    assert step.stems == ("instrumental",)


def test_a_preset_is_its_steps():
    recipe = recipes().resolve(Choices(preset="dry"))
    assert [(step.models, step.on, step.stems) for step in recipe.steps] == [
        (("a", "b"), "mix", ("vocals", "instrumental")),
        (("c",), "vocals", ("noreverb",)),
    ]
    assert (recipe.single_model, recipe.models) == (None, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("choices", "code", "says"),
    [
        (Choices(model="d"), ErrorCode.MODEL_UNKNOWN, "no model d here. There are: a, b, c"),
        (Choices(models=("a", "d")), ErrorCode.MODEL_UNKNOWN, "no model d here"),
        (Choices(preset="away"), ErrorCode.PRESET_UNKNOWN, "no preset away here. There are: dry"),
        (Choices(stems=("drums",)), ErrorCode.STEM_UNKNOWN, "no stem drums. There are: vocals, instrumental"),
        (Choices(preset="dry", stems=("vocals",)), ErrorCode.STEM_UNKNOWN, "There are: noreverb"),
        (
            Choices(models=("a", "b"), stems=("other",)),
            ErrorCode.STEM_UNKNOWN,
            "There are: vocals, instrumental",
        ),
    ],
)
def test_what_is_not_here_is_said_with_what_is(choices, code, says):
    # Another processor may have a model or a preset, and none gives other stems of the same model.
    kind = PermanentError if code == ErrorCode.STEM_UNKNOWN else UnlikelyError
    with pytest.raises(kind, match=says) as caught:
        recipes().resolve(choices)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("given", "common"),
    [
        ((("vocals", "instrumental"), ("other", "vocals")), ("vocals", "instrumental")),
        ((("karaoke", "other"), ("vocals", "instrumental")), ("instrumental", "vocals")),
        ((("vocals", "drums", "other"), ("vocals", "other")), ("vocals",)),
        ((("vocals",), ("drums",)), ()),
    ],
)
def test_an_ensemble_gives_the_stems_that_all_its_models_give(given, common):
    assert common_stems(given) == common
