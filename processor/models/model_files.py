"""Finds the files of a MODEL_NAME, checks that they are complete, and fetches them where they are missing.

    python -m processor models list|fetch NAME|add FILE|prepare NAME|check [NAME]

A name is one of these:
- `spleeter-2stems`, which is made from an installed wheel without a network
- a model of audio-separator's catalogue, with or without its extension: `UVR-MDX-NET-Inst_HQ_4`
- an .onnx or .pth file in the model directory, with an entry in `mdx_model_data.json` or `vr_model_data.json`

A fetched file gets a temporary name, is checked, and is renamed. `FILE.sha256` beside it holds its digest,
which every start compares.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from processor.models import catalogue, checks
from processor.models.catalogue import Architecture, Data, Entry

if TYPE_CHECKING:  # it imports requests, which an engine's start need not wait for
    from processor.models import hub

SPLEETER = "spleeter-2stems"
_SPLEETER_FILE = SPLEETER + ".onnx"
SPLEETER_ENTRY = Entry("MDX", _SPLEETER_FILE, (_SPLEETER_FILE,))
_OWN_SUFFIXES: dict[str, Architecture] = {".onnx": "MDX", ".pth": "VR"}


class ModelUnavailable(Exception):
    """The model cannot be used; the message says why."""


@dataclass(frozen=True)
class ModelFiles:
    """A complete model: `path` is the file that names it, `parts` are its other files.

    `parameters` is the entry in the data files for MDX and VR, and the configuration for MDXC. `sha256` is
    the digest of `path` in hexadecimal, and `rest_sha256` one of the parameters and `parts`.
    """

    name: str
    architecture: Architecture
    directory: Path
    path: Path
    parameters: Data
    sha256: str
    parts: tuple[Path, ...] = ()
    rest_sha256: str = ""


def ensure(name: str, model_dir: Path, fetch: bool, download: "hub.Download | None" = None) -> ModelFiles:
    """Return the files of model `name` after checking them; fetch a missing model where `fetch` is set.

    Raises ModelUnavailable.
    """
    try:
        return _ensure(name, model_dir, fetch, download)
    except (checks.BadModel, catalogue.BadData) as error:
        raise ModelUnavailable(str(error)) from None
    except OSError as error:
        raise ModelUnavailable(f"the model directory {model_dir} cannot be used: {error}") from None


def find(name: str, model_dir: Path) -> Entry | None:
    """Return the model of this name, one whose files are here if there is one. No file is opened."""
    if name in (SPLEETER, _SPLEETER_FILE):
        return SPLEETER_ENTRY
    known = [entry for entry in catalogue.entries(model_dir) if entry.is_called(name) and entry.files]
    known += _own(name, model_dir)
    # Two models may share a name except for the extension.
    return next((entry for entry in known if is_here(entry, model_dir)), known[0] if known else None)


def is_here(entry: Entry, model_dir: Path) -> bool:
    """Tell whether all files of the model are in `model_dir`."""
    return bool(entry.files) and all((model_dir / name).exists() for name in entry.files)


def _own(name: str, model_dir: Path) -> list[Entry]:
    """Return the operator's own models of this name, which no list has."""
    found = []
    for suffix, architecture in _OWN_SUFFIXES.items():
        filename = name if name.endswith(suffix) else name + suffix
        if (model_dir / filename).is_file():
            found.append(Entry(architecture, filename, (filename,)))
    return found


def _ensure(name: str, model_dir: Path, fetch: bool, download: "hub.Download | None") -> ModelFiles:
    entry = find(name, model_dir)
    if entry is None or not is_here(entry, model_dir):
        if not fetch and not (entry and entry.name == SPLEETER):
            raise ModelUnavailable(_missing(name, entry, model_dir))
        with catalogue.lock(model_dir):
            entry = find(name, model_dir)
            if entry is None or not is_here(entry, model_dir):  # another process may have fetched it
                entry = _bring(name, entry, model_dir, download)
    return checked(name, entry, model_dir)


def _missing(name: str, entry: Entry | None, model_dir: Path) -> str:
    hint = f"fetch it with `python -m processor models fetch {name}`"
    if entry and len(entry.files) > 1:
        absent = [file for file in entry.files if not (model_dir / file).exists()]
        return f"model {name} is not in {model_dir} ({', '.join(absent)} missing): {hint}"
    here = [file.name for file in model_dir.glob("*") if name in (file.name, file.stem)]
    if entry is None and here:
        unknown = f"{catalogue.LISTS} does not list the model's other files"
        return f"{here[0]} is in {model_dir}, but {unknown}: {hint}"
    return f"model {name} is not in {model_dir}: {hint}"


def checked(name: str, entry: Entry, model_dir: Path) -> ModelFiles:
    """Return the files of a model after checking them. Raises ModelUnavailable, BadModel and OSError."""
    *parts, path = (model_dir / file for file in entry.files)
    digests = []
    for file in (*parts, path):
        digests.append(_checked_digest(file))
        checks.check_name(file, digests[-1], known=record(file).exists())
    parameters = checks.parameters(entry.architecture, model_dir, path, parts)
    rest = _rest_sha256(entry.architecture, parameters, digests[:-1])
    return ModelFiles(name, entry.architecture, model_dir, path, parameters, digests[-1], tuple(parts), rest)


def _rest_sha256(architecture: Architecture, parameters: Data, parts: list[str]) -> str:
    # Elsewhere the parameters are in the files themselves, and may be no JSON.
    own = parameters if architecture in catalogue.DATA_FILES else None
    return hashlib.sha256(json.dumps([own, parts], sort_keys=True).encode()).hexdigest()


def _checked_digest(path: Path) -> str:
    """Return the sha256 of a file. Raises ModelUnavailable where it differs from the recorded one."""
    if path.stat().st_size == 0:
        raise ModelUnavailable(f"{path} is empty: remove it, then fetch it again")
    digest = _sha256(path)
    kept = record(path)
    if kept.exists() and (expected := kept.read_text().strip()) != digest:
        raise ModelUnavailable(
            f"{path} is damaged or was changed: its sha256 is {digest}, {kept.name} says {expected}; "
            "remove both, then fetch it again"
        )
    return digest


def _bring(name: str, entry: Entry | None, model_dir: Path, download: "hub.Download | None") -> Entry:
    """Make or fetch the model's files. Call this with the lock held."""
    for left in model_dir.glob(".fetch-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=model_dir) as directory:
        temporary = Path(directory)
        if entry and entry.name == SPLEETER:
            _make_spleeter(temporary, model_dir)
        else:
            from processor.models import hub

            try:
                hub.fetch(name, temporary, download or hub.http_download)
            except hub.HubError as error:
                raise ModelUnavailable(f"model {name} cannot be fetched: {error}") from None
            entry = find(name, temporary)
            if entry is None or not is_here(entry, temporary):
                raise ModelUnavailable(
                    f"model {name} cannot be fetched: the catalogue does not list its files"
                )
            checked(name, entry, temporary)
            catalogue.merge(model_dir, temporary)
        # Install the file that names the model last: it is here only when all others are.
        for file in entry.files:
            install(temporary / file, model_dir / file)
    return entry


def _make_spleeter(directory: Path, model_dir: Path) -> None:
    from processor.models import (
        spleeter,  # imports torch, which takes seconds that other models need not wait
    )

    try:
        print(f"making {_SPLEETER_FILE} from the installed weights", file=sys.stderr, flush=True)
        spleeter.build(directory / _SPLEETER_FILE)
    except spleeter.WeightsUnavailable as error:
        raise ModelUnavailable(f"model {SPLEETER}: {error}") from None
    catalogue.add_mdx_parameters(model_dir, directory / _SPLEETER_FILE, spleeter.MODEL_DATA)


def install(temporary: Path, path: Path) -> None:
    """Move a checked file to its place, with a record of its digest. Call this with the lock held."""
    if path.exists():  # a configuration that two models share
        return
    # Write the digest first: a file without a digest would pass with weaker checks.
    catalogue.write_durably(record(path), _sha256(temporary) + "\n")
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.rename(path)


def record(path: Path) -> Path:
    """Return the file that holds the digest of `path`."""
    return path.with_name(path.name + ".sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
