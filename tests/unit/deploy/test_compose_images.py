"""Tests that each image has what its service imports, and that only the processor's has torch."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.deploy import compose
from tests.support.deploy.compose import TRIO
from tests.support.paths import REPOSITORY

# Modules that the service's container runs, in addition to all of the service's package.
COMMANDS = {
    "api": ["deploy.hold", "deploy.probe"],
    "processor": ["deploy.hold", "deploy.probe"],
    "uploader": ["deploy.hold", "deploy.probe", "deploy.store"],
}
# botocore uses it if it is installed, and has a replacement of its own.
OPTIONAL = {"certifi"}
_IMPORT_ALL = """
import importlib, json, pkgutil, sys
before = set(sys.modules)
package = importlib.import_module(sys.argv[1])
names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{sys.argv[1]}.")]
for name in names + sys.argv[2:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
FIRST_PARTY = {"api", "common", "deploy", "processor", "uploader", "local", "tests"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def requirements(service: str) -> dict[str, str]:
    text = (REPOSITORY / f"requirements-{service}.txt").read_text()
    return {normal(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


@pytest.mark.slow
@pytest.mark.parametrize("service", TRIO)
def test_a_service_finds_all_that_it_imports_in_its_image(service: str, tmp_path: Path):
    image = compose.images()[service]
    for source in image.sources:
        shutil.copytree(REPOSITORY / source, tmp_path / source)
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, service, *COMMANDS[service]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    imported = set(json.loads(done.stdout)) - FIRST_PARTY - OPTIONAL - set(sys.stdlib_module_names)
    installed = packages_distributions()
    missing = {
        name: installed[name]
        for name in imported & installed.keys()
        if not {normal(d) for d in installed[name]} & requirements(service).keys()
    }
    assert not missing


def test_only_the_processors_image_has_torch():
    assert "torch" in requirements("processor")
    assert not {"torch", "onnxruntime-gpu", "numpy"} & (requirements("api") | requirements("uploader")).keys()
    for service in TRIO:
        assert compose.images()[f"{service}-packages"].mounted == [f"requirements-{service}.txt"]
        assert compose.images()[service].mounted == [f"requirements-{service}.txt"]


def test_no_packages_are_copied_from_one_stage_to_another():
    """A copy would be on the disk twice, in the builder's cache and in the image."""
    copied = {name: image.copied_from for name, image in compose.images().items() if image.copied_from}
    assert copied == {"api": ["console"]}  # the page, without what has built it


def test_base_images_are_pinned_by_digest():
    text = (REPOSITORY / "Dockerfile").read_text()
    assert re.search(
        r"^ARG PYTHON_IMAGE=python:3\.12\.\d+-slim-bookworm@sha256:[0-9a-f]{64}$", text, re.MULTILINE
    )
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    assert bases - compose.images().keys() == {"${PYTHON_IMAGE}"}


def test_the_packages_are_pinned_hashed_and_never_compiled():
    installs = re.findall(r"pip install [^\n]*", (REPOSITORY / "Dockerfile").read_text().replace("\\\n", ""))
    assert len(installs) == 5
    for command in installs:
        assert re.search(r"--no-deps --require-hashes --only-binary :all: -r (/tmp/)?requirements-", command)


def test_docker_is_sent_what_it_copies_and_no_more():
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    images = compose.images().values()
    assert sent == {source for image in images for source in (*image.sources, *image.mounted)}
    assert "*" in lines


def test_where_a_new_volume_is_mounted_the_image_has_a_directory_of_its_user():
    owned = re.search(
        r"install --directory --owner uvr --group uvr ([^\n]*)", (REPOSITORY / "Dockerfile").read_text()
    )
    assert owned
    targets = {
        volume.split(":")[1]
        for name, service in compose.load({})["services"].items()
        if name in (*TRIO, "store-keys")
        for volume in service.get("volumes", ())
        if isinstance(volume, str)
    }
    assert targets <= set(owned[1].split())
