"""What audio-separator knows of models: its own lists, and the three files of the model directory.

Their formats are the library's: `download_checks.json` lists file names by architecture;
`mdx_model_data.json` and `vr_model_data.json` hold parameters by the MD5 of a file's end. Data is only
ever added: what an operator put there stays.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

LISTS = "download_checks.json"
MDX_DATA = "mdx_model_data.json"
VR_DATA = "vr_model_data.json"

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
# Models of these two are one file, which the data files may know without any list.
DATA_FILES = {"MDX": MDX_DATA, "VR": VR_DATA}
_HASHED_BYTES = 10_240_000


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue. `filename` is what the library calls it; `files` are all of its files, that
    one last, or () where only the fetched lists could tell them. `stems` are empty where unknown.
    """

    architecture: Architecture
    filename: str
    files: tuple[str, ...]
    stems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return Path(self.filename).stem

    def is_called(self, name: str) -> bool:
        return name in (self.filename, self.name)


@contextmanager
def lock(model_dir: Path) -> Iterator[None]:
    """Keeps other processes from changing the directory. Raises OSError where it cannot be written."""
    model_dir.mkdir(parents=True, exist_ok=True)
    with (model_dir / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def model_hash(path: Path) -> str:
    """MD5 of the last 10,240,000 bytes (of the whole file if smaller), the key of the data files."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _HASHED_BYTES))
        return hashlib.file_digest(file, "md5").hexdigest()


def parameters(model_dir: Path, path: Path, architecture: Architecture) -> dict | None:
    """What the data files, ours or the library's own, know of the MDX or VR model in `path`."""
    key, name = model_hash(path), DATA_FILES[architecture]
    for data in (_packaged("model-data.json").get(Path(name).stem, {}), _read(model_dir / name)):
        if key in data:
            return data[key]
    return None


def lists(model_dir: Path) -> dict:
    """The seven lists, those that are missing as empty ones."""
    return {name: {} for name in _ARCHITECTURES} | _read(model_dir / LISTS)


def entries(model_dir: Path) -> list[Entry]:
    """All models that can be known without a network, by file name."""
    scores = _packaged("models-scores.json")
    found: dict[str, Entry] = {}
    for known in (lists(model_dir), _packaged("models.json")):
        for list_name, architecture in _ARCHITECTURES.items():
            for title, listed in known.get(list_name, {}).items():
                # The library knows no older networks of this name.
                if architecture == "Demucs" and not title.startswith("Demucs v4"):
                    continue
                if files := _files(listed):
                    stems = tuple(scores.get(files[-1], {}).get("stems", ()))
                    found.setdefault(files[-1], Entry(architecture, files[-1], files, stems))
    for filename, score in scores.items():
        architecture = _BY_SUFFIX[Path(filename).suffix]
        files = (filename,) if architecture in DATA_FILES else ()
        found.setdefault(filename, Entry(architecture, filename, files, tuple(score.get("stems", ()))))
    return sorted(found.values(), key=lambda entry: (entry.architecture, entry.filename.lower()))


def _files(listed: str | Mapping[str, str]) -> tuple[str, ...]:
    """The files of one model, `listed` as FILE, {CHECKPOINT: CONFIGURATION} or {FILE: URL}."""
    if isinstance(listed, str):
        return (listed,)
    names = [name.rpartition("/")[2] for name in listed]
    if yamls := [name for name in names if name.endswith(".yaml")]:
        return (*(name for name in names if name != yamls[0]), yamls[0])
    configurations = [name.rpartition("/")[2] for name in listed.values() if name.endswith(".yaml")]
    return (*configurations, *reversed(names)) if configurations else ()


def add_mdx_parameters(model_dir: Path, path: Path, parameters: Mapping) -> None:
    """Makes the model in `path` known. Call it with the lock held."""
    _write(model_dir / MDX_DATA, {model_hash(path): dict(parameters)} | _read(model_dir / MDX_DATA))


def merge(model_dir: Path, other: Path) -> None:
    """Adds all that the data files of directory `other` know. Call it with the lock held."""
    found, more = lists(model_dir), lists(other)
    _write(model_dir / LISTS, more | {name: more.get(name, {}) | entries for name, entries in found.items()})
    for name in (MDX_DATA, VR_DATA):
        _write(model_dir / name, _read(other / name) | _read(model_dir / name))


def write_durably(path: Path, text: str) -> None:
    """Replaces `path` as a whole: a reader, or a crash, finds the old text or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _packaged(name: str) -> dict:
    return json.loads(resources.files("audio_separator").joinpath(name).read_text(encoding="utf-8"))


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _write(path: Path, value: dict) -> None:
    if not path.exists() or _read(path) != value:
        write_durably(path, json.dumps(value, indent=1))
