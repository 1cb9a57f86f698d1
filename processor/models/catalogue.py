"""Reads audio-separator's lists of models, and keeps the three data files of the model directory.

The library defines the formats. `download_checks.json` lists file names by architecture.
`mdx_model_data.json` and `vr_model_data.json` hold parameters by the MD5 of a file's end. We only add data
to these files, so that an operator's entries stay.
"""

import fcntl
import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

LISTS = "download_checks.json"
MDX_DATA = "mdx_model_data.json"
VR_DATA = "vr_model_data.json"

Data = dict[str, Any]  # an object in the library's JSON and YAML files
Architecture = Literal["MDX", "VR", "Demucs", "MDXC"]
_ARCHITECTURES: dict[str, Architecture] = {
    "vr_download_list": "VR",
    "mdx_download_list": "MDX",
    "mdx_download_vip_list": "MDX",
    "demucs_download_list": "Demucs",
    "mdx23c_download_list": "MDXC",
    "mdx23c_download_vip_list": "MDXC",
    "roformer_download_list": "MDXC",
}
_BY_SUFFIX: dict[str, Architecture] = {".onnx": "MDX", ".pth": "VR", ".yaml": "Demucs", ".ckpt": "MDXC"}
# Models of these two architectures are one file, whose parameters are in the data files.
DATA_FILES: dict[Architecture, str] = {"MDX": MDX_DATA, "VR": VR_DATA}
_HASHED_BYTES = 10_240_000


class BadData(Exception):
    """A data file in the model directory holds something else than a JSON object; the message names it."""


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue.

    `filename` is the library's name of the model. `files` are all of its files with `filename` last, or ()
    where only lists that are not fetched yet have them. `stems` is empty where unknown.
    """

    architecture: Architecture
    filename: str
    files: tuple[str, ...]
    stems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file name without its extension."""
        return Path(self.filename).stem

    def is_called(self, name: str) -> bool:
        """Tell whether `name` names this model, with or without the extension."""
        return name in (self.filename, self.name)


@contextmanager
def lock(model_dir: Path) -> Iterator[None]:
    """Keep other processes from changing the directory. Raises OSError where it is not writable."""
    model_dir.mkdir(parents=True, exist_ok=True)
    with (model_dir / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def model_hash(path: Path) -> str:
    """Return the MD5 of a file's last 10,240,000 bytes in hexadecimal: its key in the data files."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _HASHED_BYTES))
        return hashlib.file_digest(file, "md5").hexdigest()


def parameters(model_dir: Path, path: Path, architecture: Architecture) -> Data | None:
    """Return the parameters of the MDX or VR model in `path`, from the data files or the library's own."""
    key, name = model_hash(path), DATA_FILES[architecture]
    for data in (_packaged("model-data.json").get(Path(name).stem, {}), _read(model_dir / name)):
        if key in data:
            return cast(Data, data[key])
    return None


def lists(model_dir: Path) -> Data:
    """Return the lists of `download_checks.json`; missing lists are empty."""
    # Beside the lists the file has the versions of another program, which are texts.
    found = {name: listed for name, listed in _read(model_dir / LISTS).items() if isinstance(listed, dict)}
    return {**{name: {} for name in _ARCHITECTURES}, **found}


def entries(model_dir: Path) -> list[Entry]:
    """Return all models that are known without a network, sorted by architecture and file name."""
    scores = _packaged("models-scores.json")
    found: dict[str, Entry] = {}
    for known in (lists(model_dir), _packaged("models.json")):
        for architecture, files in _listed(known):
            stems = tuple(scores.get(files[-1], {}).get("stems", ()))
            found.setdefault(files[-1], Entry(architecture, files[-1], files, stems))
    for filename, score in scores.items():
        architecture = _BY_SUFFIX[Path(filename).suffix]
        files = (filename,) if architecture in DATA_FILES else ()
        found.setdefault(filename, Entry(architecture, filename, files, tuple(score.get("stems", ()))))
    return sorted(found.values(), key=lambda entry: (entry.architecture, entry.filename.lower()))


def vocals_scores_db() -> dict[str, float]:
    """Return the median SDR of each model's vocals in dB, by file name, as the library has measured it."""
    scores = _packaged("models-scores.json")
    medians = {name: score.get("median_scores", {}).get("vocals", {}) for name, score in scores.items()}
    return {name: float(median["SDR"]) for name, median in medians.items() if median.get("SDR") is not None}


def scores_db(name: str) -> dict[str, float]:
    """Return the median SDR of a model's stems in dB, as the library has measured it; {} where it has not.

    `name` may lack the extension.
    """
    for filename, score in _packaged("models-scores.json").items():
        if name in (filename, Path(filename).stem):
            medians = score.get("median_scores", {}).items()
            return {
                stem: value["SDR"] for stem, value in medians if isinstance(value, dict) and "SDR" in value
            }
    return {}


def _listed(known: Data) -> Iterator[tuple[Architecture, tuple[str, ...]]]:
    """Yield the architecture and the files of each model in the lists `known`."""
    for list_name, architecture in _ARCHITECTURES.items():
        for title, listed in known.get(list_name, {}).items():
            # The library cannot load Demucs models before version 4.
            is_too_old = architecture == "Demucs" and not title.startswith("Demucs v4")
            if not is_too_old and (files := _files(listed)):
                yield architecture, files


def _files(listed: str | Mapping[str, str]) -> tuple[str, ...]:
    """Return the files of one model, `listed` as FILE, {CHECKPOINT: CONFIGURATION} or {FILE: URL}, or ()."""
    if isinstance(listed, str):
        return (listed,)
    if not isinstance(listed, dict) or not all(isinstance(value, str) for value in listed.values()):
        return ()
    names = [name.rpartition("/")[2] for name in listed]
    if yamls := [name for name in names if name.endswith(".yaml")]:
        return (*(name for name in names if name != yamls[0]), yamls[0])
    configurations = [name.rpartition("/")[2] for name in listed.values() if name.endswith(".yaml")]
    return (*configurations, *reversed(names)) if configurations else ()


def add_mdx_parameters(model_dir: Path, path: Path, parameters: Mapping[str, Any]) -> None:
    """Add the parameters of the model in `path` to the data file. Call this with the lock held."""
    add_parameters(model_dir, path, "MDX", parameters)


def add_parameters(
    model_dir: Path, path: Path, architecture: Architecture, parameters: Mapping[str, Any]
) -> None:
    """Add the parameters of an MDX or VR model to its data file. Call this with the lock held."""
    file = model_dir / DATA_FILES[architecture]
    _write(file, {model_hash(path): dict(parameters)} | _read(file))


def add_to_list(model_dir: Path, list_name: str, title: str, listed: Mapping[str, str]) -> None:
    """Add a model to one of the lists. Call this with the lock held."""
    found = lists(model_dir)
    _write(model_dir / LISTS, {**found, list_name: {**found[list_name], title: dict(listed)}})


def replace_parameters(
    model_dir: Path, key: str, architecture: Architecture, parameters: Data | None
) -> Data | None:
    """Set an entry of a data file, or remove it where `parameters` is None; return what it was.

    `key` is the model's hash. Call this with the lock held.
    """
    file = model_dir / DATA_FILES[architecture]
    data = _read(file)
    earlier = cast("Data | None", data.pop(key, None))
    _write(file, data if parameters is None else {key: parameters} | data)
    return earlier


def lists_title(model_dir: Path, title: str) -> bool:
    """Tell whether one of the lists in `model_dir` has a model of this title."""
    return any(title in listed for listed in lists(model_dir).values())


def remove_from_lists(model_dir: Path, title: str) -> None:
    """Remove a model from all lists. Call this with the lock held."""
    if lists_title(model_dir, title):
        kept = {
            name: {other: files for other, files in listed.items() if other != title}
            for name, listed in lists(model_dir).items()
        }
        _write(model_dir / LISTS, kept)


def merge(model_dir: Path, other: Path) -> None:
    """Add the entries of the data files in `other` to those in `model_dir`. Call this with the lock held."""
    found, more = lists(model_dir), lists(other)
    _write(model_dir / LISTS, more | {name: more.get(name, {}) | entries for name, entries in found.items()})
    for name in (MDX_DATA, VR_DATA):
        _write(model_dir / name, _read(other / name) | _read(model_dir / name))


def write_durably(path: Path, text: str) -> None:
    """Replace the file as a whole, so that readers find the old or the new text, even after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:  # a full disk, or a stop
        temporary.unlink(missing_ok=True)
        raise


@functools.cache
def _packaged(name: str) -> Data:
    return cast(Data, json.loads(resources.files("audio_separator").joinpath(name).read_text("utf-8")))


def _read(path: Path) -> Data:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise BadData(f"{path} is not JSON: {error}: mend it, or remove it") from None
    if not isinstance(found, dict):
        raise BadData(f"{path} is not an object of JSON: mend it, or remove it")
    return found


def _write(path: Path, value: Data) -> None:
    if not path.exists() or _read(path) != value:
        write_durably(path, json.dumps(value, indent=1))
