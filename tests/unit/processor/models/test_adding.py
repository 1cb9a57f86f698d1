"""An operator's own model file becomes a model of the directory, with its digest, or nothing stays."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
import yaml

from processor.models import adding, catalogue, model_files
from processor.models.model_files import ModelUnavailable
from tests.support.processor.centre_model import MODEL_DATA, write_centre_model
from tests.support.processor.models import random_directory


@pytest.fixture
def files(tmp_path) -> Path:
    """Model files as they are downloaded from somewhere: without lists and data files."""
    directory = tmp_path / "downloads"
    directory.mkdir()
    write_centre_model(tmp_path / "made", "mine")
    shutil.copy(tmp_path / "made" / "mine.onnx", directory)
    (directory / "mine.yaml").write_text(yaml.dump(MODEL_DATA))
    for name in ("tiny_bs_roformer", "tiny_mdx23c"):
        shutil.copy(random_directory() / f"{name}.ckpt", directory)
        shutil.copy(random_directory() / f"{name}.yaml", directory)
    return directory


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("file", "architecture", "roformer"),
    [("mine.onnx", "MDX", None), ("tiny_mdx23c.ckpt", "MDXC", None), ("tiny_bs_roformer.ckpt", "MDXC", True)],
)
def test_a_file_with_its_configuration_becomes_a_model(files, target, file, architecture, roformer):
    config = (files / file).with_suffix(".yaml")
    added = adding.add(files / file, target, "own", config)
    found = model_files.ensure("own", target, fetch=False)
    assert found == added.files
    assert (found.architecture, found.parameters.get("is_roformer")) == (architecture, roformer)
    assert (target / f"own{Path(file).suffix}.sha256").read_text().strip() == found.sha256
    assert found.path.read_bytes() == (files / file).read_bytes()
    assert not list(target.glob(".fetch-*"))


@pytest.mark.parametrize(
    ("file", "options", "says"),
    [
        ("mine.onnx", {}, "downloads/mine.onnx .*mdx_model_data.json .*; give its parameters with --config"),
        ("mine.yaml", {}, "expected one of .onnx, .pth, .ckpt"),
        ("tiny_mdx23c.ckpt", {}, "give the YAML file with --config"),
        ("tiny_mdx23c.ckpt", {"config": "mine.yaml"}, "is damaged: it lacks audio"),
        ("tiny_mdx23c.ckpt", {"config": "away.yaml"}, "away.yaml cannot be read"),
        ("mine.onnx", {"config": "mine.yaml", "name": "../x"}, "cannot be a model's name"),
        ("mine.onnx", {"config": "mine.yaml", "name": "spleeter-2stems"}, "there is a model spleeter-2stems"),
        ("mine.onnx", {"config": "tiny_mdx23c.yaml"}, "lacks compensate"),
        ("mine.onnx", {"config": "mine.yaml", "name": "htdemucs_ft"}, "there is a model htdemucs_ft already"),
        ("away.onnx", {"config": "mine.yaml"}, "downloads/away.onnx cannot be read: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_added_leaves_nothing(files, target, file, options, says):
    config = options.get("config")
    with pytest.raises(ModelUnavailable, match=says):
        adding.add(files / file, target, options.get("name"), files / config if config else None)
    assert [path.name for path in target.glob("*")] in ([], [".lock"])


BROKEN = {
    "a date that is none": "date: 2024-13-45",
    "3000 lists in one another": "a: " + "[" * 3000 + "]" * 3000,
    "an empty number": "a: !!int ''",
    "a truth that is none": "a: !!bool x",
    "no UTF-8": b"a: \xff",
    "a model that is a number": "{audio: {}, model: 5, training: {instruments: [a]}, inference: {}}",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("file", ["mine.onnx", "tiny_mdx23c.ckpt"])
def test_a_configuration_that_is_broken_is_named(files, target, file, content):
    config = files / "broken.yaml"
    config.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelUnavailable, match=r"broken\.yaml|entry of own\.onnx"):
        adding.add(files / file, target, "own", config)
    assert [path.name for path in target.glob("*")] in ([], [".lock"])


@pytest.mark.parametrize("value", ["2024-01-02", "&a [*a]"])
def test_parameters_that_json_cannot_hold_are_refused(files, target, value):
    config = files / "mine.yaml"
    config.write_text(yaml.dump(MODEL_DATA) + f"more: {value}\n")
    with pytest.raises(ModelUnavailable, match=r"mine\.yaml has a value that no data file can hold"):
        adding.add(files / "mine.onnx", target, config=config)


def test_parameters_are_taken_as_json_holds_them(files, target):
    (files / "mine.yaml").write_text(yaml.dump(MODEL_DATA) + "more: {1: !!python/tuple [2, 3]}\n")
    added = adding.add(files / "mine.onnx", target, config=files / "mine.yaml")
    assert added.files.parameters == MODEL_DATA | {"more": {"1": [2, 3]}}


def test_a_configuration_may_come_by_a_pipe(files, target):
    config = files / "pipe"
    os.mkfifo(config)
    content = (files / "tiny_mdx23c.yaml").read_bytes()
    writer = threading.Thread(target=config.write_bytes, args=[content])
    writer.start()
    added = adding.add(files / "tiny_mdx23c.ckpt", target, "own", config)
    writer.join()
    assert added.files.parts[0].read_bytes() == content


@pytest.mark.parametrize("file", ["mine.onnx", "tiny_mdx23c.ckpt"])
def test_a_name_may_have_the_files_ending(files, target, file):
    config = (files / file).with_suffix(".yaml")
    added = adding.add(files / file, target, f"own{Path(file).suffix}", config)
    assert added.files.path.name == f"own{Path(file).suffix}"
    with pytest.raises(ModelUnavailable, match="'' cannot be a model's name"):
        adding.add(files / file, target, Path(file).suffix, config)


def test_a_name_that_another_model_answers_to_with_its_ending_is_refused(files, target):
    config = files / "tiny_mdx23c.yaml"
    first = adding.add(files / "tiny_mdx23c.ckpt", target, "own.ckpt.ckpt", config)
    with pytest.raises(ModelUnavailable, match=r"there is a model own\.ckpt already"):
        adding.add(files / "tiny_bs_roformer.ckpt", target, "own.ckpt", files / "tiny_bs_roformer.yaml")
    assert model_files.ensure("own.ckpt", target, fetch=False).path == first.files.path


def contents(target: Path) -> dict[str, object]:
    """Returns what the directory's files hold, without the data files and lists that hold nothing."""
    found: dict[str, object] = {}
    for path in target.glob("[!.]*"):
        is_json = path.suffix == ".json"
        value = json.loads(path.read_text()) if is_json else path.read_bytes()
        if any(value.values()) if is_json else True:
            found[path.name] = value
    return found


@pytest.mark.parametrize("file", ["mine.onnx", "tiny_bs_roformer.ckpt", "tiny_mdx23c.ckpt"])
@pytest.mark.parametrize("others", [False, True])
def test_a_model_that_is_removed_leaves_nothing_and_comes_again_under_its_name(files, target, file, others):
    config = (files / file).with_suffix(".yaml")
    if others:
        write_centre_model(target, "other")
        adding.add(files / "tiny_mdx23c.ckpt", target, "another", files / "tiny_mdx23c.yaml")
    before = contents(target) if others else {}
    adding.remove(adding.add(files / file, target, "own", config))
    assert contents(target) == before
    again = adding.add(files / file, target, "own", config)
    assert model_files.ensure("own", target, fetch=False) == again.files


def with_parameters(files: Path, compensate: float) -> Path:
    path = files / f"{compensate}.yaml"
    path.write_text(yaml.dump(MODEL_DATA | {"compensate": compensate}))
    return path


def test_the_given_parameters_win_over_those_that_are_left_of_an_earlier_file(files, target):
    adding.add(files / "mine.onnx", target, config=with_parameters(files, 1.5)).files.path.unlink()
    left = contents(target)["mdx_model_data.json"]
    added = adding.add(files / "mine.onnx", target, config=with_parameters(files, 1.25))
    assert added.files.parameters["compensate"] == 1.25
    adding.remove(added)
    assert contents(target)["mdx_model_data.json"] == left


def test_the_same_file_under_another_name_keeps_the_parameters_of_the_first(files, target):
    first = adding.add(files / "mine.onnx", target, "first", with_parameters(files, 1.5))
    with pytest.raises(ModelUnavailable, match=r"first.onnx is the same file with other parameters"):
        adding.add(files / "mine.onnx", target, "second", with_parameters(files, 1.25))
    adding.remove(adding.add(files / "mine.onnx", target, "second", with_parameters(files, 1.5)))
    assert model_files.ensure("first", target, fetch=False) == first.files


def test_parameters_that_the_library_would_not_use_are_refused(files, target, monkeypatch):
    key = catalogue.model_hash(files / "mine.onnx")
    packaged = {"mdx_model_data": {key: MODEL_DATA | {"compensate": 1.5}}}
    real = catalogue._packaged
    monkeypatch.setattr(
        catalogue, "_packaged", lambda name: packaged if name == "model-data.json" else real(name)
    )
    with pytest.raises(ModelUnavailable, match=r"mine.onnx itself: leave out --config"):
        adding.add(files / "mine.onnx", target, config=files / "mine.yaml")
    assert adding.add(files / "mine.onnx", target).files.parameters["compensate"] == 1.5


@pytest.mark.parametrize("missing", ["own.ckpt", "own_roformer.yaml"])
def test_a_model_whose_files_are_gone_is_added_again_even_of_another_kind(files, target, missing):
    adding.add(files / "tiny_bs_roformer.ckpt", target, "own", files / "tiny_bs_roformer.yaml")
    (target / missing).unlink()
    (target / "own.ckpt").unlink(missing_ok=True)
    again = adding.add(files / "tiny_mdx23c.ckpt", target, "own", files / "tiny_mdx23c.yaml")
    assert [path.name for path in again.files.parts] == ["own.yaml"]
    assert model_files.ensure("own", target, fetch=False) == again.files


@pytest.mark.parametrize("place", ["own.yaml", "own.ckpt"])
def test_another_file_in_the_place_of_one_of_the_models_is_refused_and_stays(files, target, place):
    target.mkdir()
    (target / place).write_text("of another model")
    with pytest.raises(ModelUnavailable, match=f"{place} is another file: .* --name"):
        adding.add(files / "tiny_mdx23c.ckpt", target, "own", files / "tiny_mdx23c.yaml")
    assert contents(target) == {place: b"of another model"}


def test_a_configuration_that_was_here_before_stays_when_the_model_is_removed(files, target):
    target.mkdir()
    shutil.copy(files / "tiny_mdx23c.yaml", target / "own.yaml")
    adding.remove(adding.add(files / "tiny_mdx23c.ckpt", target, "own", files / "tiny_mdx23c.yaml"))
    assert list(contents(target)) == ["own.yaml"]


def test_beside_the_lists_the_library_names_versions_which_are_no_lists(files, target):
    target.mkdir()
    (target / catalogue.LISTS).write_text(json.dumps({"current_version": "UVR_Patch_10_6_23_4_27"}))
    file = files / "tiny_mdx23c.ckpt"
    for _ in range(2):
        adding.remove(adding.add(file, target, "own", file.with_suffix(".yaml")))
        assert model_files.find("own", target) is None
