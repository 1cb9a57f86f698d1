"""Adds a model file that the catalogue does not know to the model directory."""

import re
import shutil
import tempfile
from pathlib import Path

from processor.models import catalogue, checks, model_files
from processor.models.catalogue import Architecture, Data, Entry
from processor.models.model_files import ModelFiles, ModelUnavailable

_ARCHITECTURES: dict[str, Architecture] = {".onnx": "MDX", ".pth": "VR", ".ckpt": "MDXC"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ ()&+-]{0,190}")
# Parameters that only configurations of Roformers have.
_ROFORMER = ("freqs_per_bands", "num_bands")


def add(source: Path, model_dir: Path, name: str | None = None, config: Path | None = None) -> ModelFiles:
    """Copy the model in `source` with a record of its digest; return its files after checking them.

    Its name is `name`, or that of the file. `config` is the model's YAML file: the configuration of a .ckpt
    file, or the parameters of an .onnx or .pth file that the library does not know.

    Raises ModelUnavailable and OSError.
    """
    name = name or source.stem
    architecture = _ARCHITECTURES.get(source.suffix)
    if architecture is None:
        known = ", ".join(_ARCHITECTURES)
        raise ModelUnavailable(f"{source} is not a model file that can be added: expected one of {known}")
    if not _NAME.fullmatch(name):
        raise ModelUnavailable(f"{name!r} cannot be a model's name: give another one with --name")
    if architecture == "MDXC" and config is None:
        raise ModelUnavailable(f"{source} needs its configuration: give the YAML file with --config")
    with catalogue.lock(model_dir):
        if model_files.find(name, model_dir):
            raise ModelUnavailable(f"there is a model {name} already: give another name with --name")
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=model_dir) as directory:
            _install(source, Path(directory), model_dir, name, architecture, config)
    return model_files.ensure(name, model_dir, fetch=False)


def remove(files: ModelFiles) -> None:
    """Remove the files of a model that was added and cannot be loaded. Its entry in the lists stays."""
    for path in (files.path, *files.parts):
        path.unlink(missing_ok=True)
        model_files.record(path).unlink(missing_ok=True)


def _install(
    source: Path, temporary: Path, model_dir: Path, name: str, architecture: Architecture, config: Path | None
) -> None:
    path = temporary / f"{name}{source.suffix}"
    shutil.copyfile(source, path)
    found = _read(config) if config else None
    if architecture == "MDXC":
        entry = _configured(path, config, found or {}, temporary)
    else:
        entry = Entry(architecture, path.name, (path.name,))
        if found:
            catalogue.add_parameters(temporary, path, architecture, found)
    try:
        model_files.checked(name, entry, temporary)
    except checks.BadModel as error:
        hint = "" if config else "; give its parameters with --config"
        # The user's file, not its copy, which is gone when the message is read.
        raise ModelUnavailable(f"{error}{hint}".replace(str(path), str(source))) from None
    catalogue.merge(model_dir, temporary)
    for file in entry.files:
        model_files.install(temporary / file, model_dir / file)


def _configured(path: Path, config: Path | None, found: Data, directory: Path) -> Entry:
    """Copy the model's configuration, and list the model; return its entry."""
    assert config is not None, "`add` has refused a .ckpt file without its configuration"
    is_roformer = any(key in (found.get("model") or {}) for key in _ROFORMER)
    # The library tells Roformers by the name of this file.
    configuration = directory / f"{path.stem}{'_roformer' if is_roformer else ''}.yaml"
    shutil.copyfile(config, configuration)
    catalogue.add_to_list(
        directory,
        "roformer_download_list" if is_roformer else "mdx23c_download_list",
        f"Own model: {path.stem}",
        {path.name: configuration.name},
    )
    return Entry("MDXC", path.name, (configuration.name, path.name))


def _read(config: Path) -> Data:
    try:
        return checks.read_yaml(config)
    except checks.BadModel as error:
        raise ModelUnavailable(str(error)) from None
    except OSError as error:
        raise ModelUnavailable(f"{config} cannot be read: {error.strerror}") from None
