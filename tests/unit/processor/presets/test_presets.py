"""The product's presets are good, and each error in an operator's file is said with its place."""

import json
from importlib import resources
from pathlib import Path

import pytest

from processor.models import catalogue, names
from processor.presets import schema
from processor.presets.schema import BadPresets

GOOD = """
[mine]
description = "Mine."
[[mine.steps]]
models = ["a"]
stems = ["vocals"]
[[mine.steps]]
models = ["b", "c"]
ensemble = "max_fft"
weights = [1, 2.5]
on = "vocals"
stems = ["noreverb"]
"""


def read(directory: Path, text: str) -> schema.Presets:
    path = directory / "presets.toml"
    path.write_text(text)
    return schema.read(path)


def test_the_products_presets_name_models_of_the_librarys_catalogue(tmp_path):
    known = {entry.filename for entry in catalogue.entries(tmp_path)}
    presets = schema.read(schema.product_file())
    assert {model for preset in presets.values() for model in preset.models} <= known
    assert {"fast", "balanced", "best", "karaoke", "vocals_dry", "four_stems", "six_stems", "drums"} <= {
        *presets
    }


def test_the_librarys_ensembles_are_presets_by_the_same_names():
    text = resources.files("audio_separator").joinpath("ensemble_presets.json").read_text("utf-8")
    presets = schema.read(schema.product_file())
    for name, theirs in json.loads(text)["presets"].items():
        (step,) = presets[name].steps
        assert ([*step.models], step.ensemble, step.weights) == (
            theirs["models"],
            theirs["algorithm"],
            theirs["weights"],
        )


def test_a_file_adds_presets_and_replaces_those_of_its_names(tmp_path):
    (tmp_path / "presets.toml").write_text(GOOD + GOOD.replace("mine", "fast"))
    found = schema.merged([schema.product_file(), tmp_path / "presets.toml"])
    assert (found["mine"].models, found["fast"].stems) == (("a", "b", "c"), ("noreverb",))
    assert "best" in found


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('description = "Mine."', "description ="), "presets.toml is not TOML: .*line 3"),
        (("[mine]", "[Mine]"), "preset 'Mine': a name has 1 to 64 small letters"),
        (('description = "Mine."', ""), "preset mine: description: this field is missing"),
        (('description = "Mine."', "description = 3"), "mine: description: Input should be a valid string"),
        (('description = "Mine."', 'text = "Mine."'), "text: there is no such field"),
        (('models = ["a"]', ""), "preset mine: step 1, models: this field is missing"),
        (('models = ["a"]', "models = []"), "step 1, models: Tuple should have at least 1 item"),
        (('models = ["a"]', 'models = ["a","b","c","d","e","f"]'), "Tuple should have at most 5 items"),
        (('models = ["a"]', 'models = ["../a"]'), "step 1, models, number 1: String should match pattern"),
        (('models = ["a"]', 'models = "a"'), "step 1, models: Input should be a valid tuple"),
        (('models = ["a"]', 'models = ["a"]\nensemble = "avg_fft"'), "go with two models or more"),
        (('"max_fft"', '"best_fft"'), "step 2, ensemble: Input should be 'avg_wave'"),
        (("[1, 2.5]", "[1]"), "step 2: 1 weights are given for 2 models"),
        (("[1, 2.5]", "[1, 0]"), "step 2, weights, number 2: Input should be greater than 0"),
        (('on = "vocals"', 'on = "drums"'), "step 2 works on drums, which no earlier step gives: "),
        (('stems = ["vocals"]', 'stems = ["vocals", "vocals"]'), "step 1: stems names one of them twice"),
        (('stems = ["vocals"]', 'stem = ["vocals"]'), "step 1, stem: there is no such field"),
        (("[mine]", "x = 1\n[mine]"), "preset x: expected a table"),
    ],
)  # fmt: skip
def test_each_error_is_said_with_its_place(tmp_path, change, says):
    assert change[0] in GOOD
    with pytest.raises(BadPresets, match=says):
        read(tmp_path, GOOD.replace(*change, 1))


def test_more_than_four_steps_are_refused(tmp_path):
    step = '[[mine.steps]]\nmodels = ["a"]\nstems = ["vocals"]\n'
    with pytest.raises(BadPresets, match="steps: Tuple should have at most 4 items"):
        read(tmp_path, '[mine]\ndescription = "x"\n' + 5 * step)


def test_a_file_that_is_no_text_is_said(tmp_path):
    (tmp_path / "presets.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadPresets, match="not text in UTF-8"):
        schema.read(tmp_path / "presets.toml")


def test_a_model_is_found_with_and_without_its_extension():
    assert names.find("a", ["b", "a.onnx"]) == "a.onnx"
    assert names.find("a.ckpt", ["a.onnx", "a.ckpt", "a"]) == "a.ckpt"
