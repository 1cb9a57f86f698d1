"""An operator's own model file becomes a model of the directory, with its digest, or nothing stays."""

import shutil
from pathlib import Path

import pytest
import yaml

from processor.models import adding, model_files
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
    assert found == added
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
    ],
)  # fmt: skip
def test_what_cannot_be_added_leaves_nothing(files, target, file, options, says):
    config = options.get("config")
    with pytest.raises(ModelUnavailable, match=says):
        adding.add(files / file, target, options.get("name"), files / config if config else None)
    assert [path.name for path in target.glob("*")] in ([], [".lock"])
