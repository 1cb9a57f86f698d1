"""Adds a model file that the catalogue does not know to the model directory."""

import filecmp
import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from processor.models import catalogue, checks, model_files
from processor.models.catalogue import Architecture, Data, Entry
from processor.models.model_files import ModelFiles, ModelUnavailable

_ARCHITECTURES: dict[str, Architecture] = {".onnx": "MDX", ".pth": "VR", ".ckpt": "MDXC"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ ()&+-]{0,190}")
# Parameters that only configurations of Roformers have.
_ROFORMER = ("freqs_per_bands", "num_bands")


@dataclass
class _Traces:
    """What adding a model has put into the model directory so far.

    `new` are the files that were not here before. `written` is the entry of the data file that this add
    wrote, and `earlier` the entry that it has replaced; None where there is none.
    """

    model_dir: Path
    title: str
    architecture: Architecture
    new: list[Path] = field(default_factory=list)
    key: str = ""
    written: Data | None = None
    earlier: Data | None = None


@dataclass(frozen=True)
class _Config:
    """The model's YAML file, which was read once: `path` may be a pipe."""

    path: Path
    content: bytes
    found: Data


@dataclass(frozen=True)
class Added:
    """A model that was added, with what `remove` needs."""

    files: ModelFiles
    traces: _Traces


def add(source: Path, model_dir: Path, name: str | None = None, config: Path | None = None) -> Added:
    """Copy the model in `source` with a record of its digest; return its files after checking them.

    Its name is `name`, which may have the file's ending, or that of the file. `config` is the model's YAML
    file: the configuration of a .ckpt file, or the parameters of an .onnx or .pth file that the library does
    not know.

    Raises ModelUnavailable, BadData and OSError.
    """
    name = (name or source.name).removesuffix(source.suffix)
    architecture = _ARCHITECTURES.get(source.suffix)
    if architecture is None:
        known = ", ".join(_ARCHITECTURES)
        raise ModelUnavailable(f"{source} is not a model file that can be added: expected one of {known}")
    if not _NAME.fullmatch(name):
        raise ModelUnavailable(f"{name!r} cannot be a model's name: give another one with --name")
    if architecture == "MDXC" and config is None:
        raise ModelUnavailable(f"{source} needs its configuration: give the YAML file with --config")
    _check_readable(source)
    with catalogue.lock(model_dir):
        for called in (name, f"{name}{source.suffix}"):
            if _is_taken(called, model_dir):
                raise ModelUnavailable(f"there is a model {called} already: give another name with --name")
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=model_dir) as directory:
            given = _read(config) if config else None
            return _install(source, Path(directory), model_dir, name, architecture, given)


def remove(added: Added) -> None:
    """Remove a model that was added and cannot be loaded, with its entries: what was here before stays."""
    with catalogue.lock(added.traces.model_dir):
        _undo(added.traces)


def _undo(traces: _Traces) -> None:
    for path in traces.new:
        path.unlink(missing_ok=True)
        model_files.record(path).unlink(missing_ok=True)
    catalogue.remove_from_lists(traces.model_dir, traces.title)
    if traces.written is not None:
        catalogue.replace_parameters(traces.model_dir, traces.key, traces.architecture, traces.earlier)


def _title(name: str) -> str:
    """Return the title of an added model in the library's lists."""
    return f"Own model: {name}"


def _is_taken(name: str, model_dir: Path) -> bool:
    """Tell whether the name is a model's. One that was added, and whose files are gone, may come again."""
    found = model_files.find(name, model_dir)
    if found is None:  # the installed library may know a model without its files
        return any(entry.is_called(name) for entry in catalogue.entries(model_dir))
    return model_files.is_here(found, model_dir) or not catalogue.lists_title(model_dir, _title(found.name))


def _check_readable(source: Path) -> None:
    try:
        source.open("rb").close()
    except OSError as error:
        raise ModelUnavailable(f"{source} cannot be read: {error.strerror}") from None


def _install(
    source: Path,
    temporary: Path,
    model_dir: Path,
    name: str,
    architecture: Architecture,
    config: _Config | None,
) -> Added:
    path = temporary / f"{name}{source.suffix}"
    shutil.copyfile(source, path)
    found = None
    if architecture == "MDXC":
        entry, list_name = _configured(path, config, temporary)
    else:
        entry, list_name = Entry(architecture, path.name, (path.name,)), None
        if config:
            found = _as_json(config)
            catalogue.add_parameters(temporary, path, architecture, found)
    try:
        checked = model_files.checked(name, entry, temporary)
    except checks.BadModel as error:
        hint = "" if config else "; give its parameters with --config"
        # The user's files, not their copies, which are gone when the message is read.
        message = f"{error}{hint}".replace(str(path), str(source))
        if config:
            message = message.replace(str(temporary / entry.files[0]), str(config.path))
        raise ModelUnavailable(message) from None
    if found and checked.parameters != found:
        raise ModelUnavailable(f"the library has other parameters for {source} itself: leave out --config")
    _refuse_other_files(entry, temporary, model_dir)
    traces = _Traces(model_dir, _title(name), architecture)
    try:
        if list_name:
            catalogue.remove_from_lists(model_dir, traces.title)
            catalogue.add_to_list(model_dir, list_name, traces.title, {entry.filename: checked.parts[0].name})
        elif found:
            _write_parameters(traces, path, found)
        for file in entry.files:
            if not (model_dir / file).exists():
                traces.new.append(model_dir / file)
            model_files.install(temporary / file, model_dir / file)
        return Added(model_files.ensure(name, model_dir, fetch=False), traces)
    except BaseException:
        _undo(traces)
        raise


def _refuse_other_files(entry: Entry, temporary: Path, model_dir: Path) -> None:
    """Raise ModelUnavailable where another file has the place of one of the model's."""
    for file in entry.files:
        place = model_dir / file
        if place.exists() and not filecmp.cmp(place, temporary / file, shallow=False):
            raise ModelUnavailable(
                f"{place} is another file: remove it if no model needs it, or give another name with --name"
            )


def _write_parameters(traces: _Traces, path: Path, found: Data) -> None:
    """Write the entry of the data file: it wins over one that an earlier add has left."""
    traces.key = catalogue.model_hash(path)
    directory, architecture = traces.model_dir, traces.architecture
    kept = catalogue.parameters(directory, path, architecture)
    if kept is not None and kept != found:
        # The data files know models by their content alone, so both would have the same parameters.
        for other in directory.glob(f"*{path.suffix}"):
            if catalogue.model_hash(other) == traces.key:
                data = catalogue.DATA_FILES[architecture]
                raise ModelUnavailable(
                    f"{other} is the same file with other parameters: remove it first, or change its entry "
                    f"{traces.key} in {data}"
                )
    traces.earlier = catalogue.replace_parameters(directory, traces.key, architecture, found)
    traces.written = found


def _configured(path: Path, config: _Config | None, directory: Path) -> tuple[Entry, str]:
    """Copy the model's configuration; return its entry, and the name of the list that it belongs to."""
    assert config is not None, "`add` has refused a .ckpt file without its configuration"
    model = config.found.get("model")
    is_roformer = isinstance(model, dict) and any(key in model for key in _ROFORMER)
    # The library tells Roformers by the name of this file.
    configuration = directory / f"{path.stem}{'_roformer' if is_roformer else ''}.yaml"
    configuration.write_bytes(config.content)
    list_name = "roformer_download_list" if is_roformer else "mdx23c_download_list"
    return Entry("MDXC", path.name, (configuration.name, path.name)), list_name


def _read(config: Path) -> _Config:
    try:
        content = config.read_bytes()
        return _Config(config, content, checks.parse_yaml(config, content))
    except checks.BadModel as error:
        raise ModelUnavailable(str(error)) from None
    except OSError as error:
        raise ModelUnavailable(f"{config} cannot be read: {error.strerror}") from None


def _as_json(config: _Config) -> Data:
    """Return the parameters as a data file will hold them."""
    try:
        return cast(Data, json.loads(json.dumps(config.found)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{config.path} has a value that no data file can hold: {error}") from None
