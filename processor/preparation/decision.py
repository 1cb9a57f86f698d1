"""Keeps what was decided for a model on a device, in files beside the models.

`MODEL_FILE_DIR/prepared/MODEL.DIGEST/` holds the converted networks, and a decision for each device and each
PRECISION that was asked for.
"""

import glob
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from processor.models import catalogue, model_files
from processor.models.model_files import ModelFiles
from processor.preparation.machine import Machine
from processor.separation.device import Device
from processor.separation.runtimes.core import NETWORKS_VERSION, Plan, Precision, Runtime

RequestedPrecision = Literal["auto", "fp32", "bf16", "fp16"]
_DIGEST_CHARS = 12
_PACKAGES = ("openvino", "torch", "onnxruntime-gpu")


class CoreFile(BaseModel):
    """A file that OpenVINO reads: its name in the model's prepared directory, or the model's own file."""

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str


class Decision(BaseModel):
    """Says how a model's networks are computed on a device, and why.

    `made_with` names the versions of what it depends on: others may convert more, or be faster. `rest_sha256`
    is that of the model: other parameters or networks may give other stems.
    `times_real_time` is the speed at the known song, in seconds of audio per second. It is None, and `stems`
    are empty, while the song was not separated.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    device: Device
    machine: str
    made_with: str
    rest_sha256: str = ""
    runtime: Runtime
    precision: Precision
    reason: str
    core_files: tuple[CoreFile, ...] = ()
    times_real_time: float | None = None
    stems: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        """False: the preparation is under way, or has died or failed, and the model works only slower."""
        return self.times_real_time is not None


def directory(files: ModelFiles) -> Path:
    """Return the directory of what was prepared for the model."""
    return files.directory / "prepared" / f"{files.path.stem}.{files.sha256[:_DIGEST_CHARS]}"


def versions() -> str:
    """Return the names and versions of the installed runtimes, and the version of what they get."""
    runtimes = (f"{package} {metadata.version(package)}" for package in _PACKAGES)
    return ", ".join((f"networks {NETWORKS_VERSION}", *runtimes))


def read(files: ModelFiles, machine: Machine, requested: RequestedPrecision) -> Decision | None:
    """Return the decision that was kept; None where there is none, or it is of other versions or parameters.

    Raises OSError.
    """
    found = _parsed(path_of(files, machine, requested))
    depends_on = (versions(), files.rest_sha256)
    return found if found and (found.made_with, found.rest_sha256) == depends_on else None


def write(files: ModelFiles, machine: Machine, requested: RequestedPrecision, decision: Decision) -> None:
    """Keep the decision. Raises OSError."""
    path = path_of(files, machine, requested)
    path.parent.mkdir(parents=True, exist_ok=True)
    catalogue.write_durably(path, decision.model_dump_json(indent=1, exclude_none=True) + "\n")


def newest(files: ModelFiles) -> Decision | None:
    """Return the latest decision of any device that counts for the model; None without one.

    Raises OSError.
    """
    kept = _newest_first(directory(files).glob("*.json"))
    return next((found for found in kept if found.rest_sha256 == files.rest_sha256), None)


def newest_of(model_dir: Path, filename: str) -> Decision | None:
    """Return the latest decision for the model file `filename`, which is not opened; None without one.

    The decision may be one for other parameters, or for another file if no digest is recorded.

    Raises OSError.
    """
    recorded = model_files.record(model_dir / filename)
    if recorded.exists():
        digest = glob.escape(recorded.read_text(errors="replace")[:_DIGEST_CHARS])
    else:  # another model's name may begin with this one's and a dot
        digest = "[0-9a-f]" * _DIGEST_CHARS
    kept = model_dir.glob(f"prepared/{glob.escape(Path(filename).stem)}.{digest}/*.json")
    return next(_newest_first(kept), None)


def _newest_first(paths: Iterable[Path]) -> Iterator[Decision]:
    """Yield the decisions that are of the installed versions."""
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        found = _parsed(path)
        if found and found.made_with == versions():
            yield found


def forget(files: ModelFiles) -> None:
    """Remove the decisions, so that the model is prepared anew. The converted networks stay.

    Call this while no other process prepares the model.
    """
    for path in directory(files).glob("*.json"):
        path.unlink(missing_ok=True)


def forget_unfinished(path: Path) -> None:
    """Remove the decision in `path` if its preparation was stopped: the next start prepares the model.

    Raises OSError.
    """
    kept = _parsed(path)
    if kept and not kept.is_finished:
        path.unlink(missing_ok=True)


def remove(files: ModelFiles) -> None:
    """Remove all that was prepared for the model. Raises OSError."""
    if directory(files).exists():
        shutil.rmtree(directory(files))


def unfinished(name: str) -> str:
    """Return what to do about a model whose preparation has not ended."""
    return f"its preparation has not ended: `python -m processor models prepare {name}` prepares it again"


def plan(files: ModelFiles, decision: Decision) -> Plan | None:
    """Return the decision as a plan; None where a file that it needs is missing or damaged.

    Raises OSError.
    """
    paths = []
    for core in decision.core_files:
        path = core_path(files, core.name)
        try:
            if not path.is_file() or core_sha256(files, path) != core.sha256:
                return None
        except FileNotFoundError:  # its weights
            return None
        paths.append(path)
    return Plan(decision.runtime, decision.precision, tuple(paths))


def core_path(files: ModelFiles, name: str) -> Path:
    """Return the path of a core file: the model's own file, or one in its prepared directory."""
    return files.path if name == files.path.name else directory(files) / name


def core_sha256(files: ModelFiles, path: Path) -> str:
    """Return the digest of a core file and of the weights beside it. Raises OSError."""
    if path == files.path:  # its digest was computed when the model's files were checked
        return files.sha256
    digest = hashlib.sha256()
    for part in (path, path.with_suffix(".bin")):
        with part.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _parsed(path: Path) -> Decision | None:
    try:
        return Decision.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, ValidationError):
        return None


def path_of(files: ModelFiles, machine: Machine, requested: RequestedPrecision) -> Path:
    """Return the path of a decision."""
    return directory(files) / f"{machine.key}.{requested}.json"
