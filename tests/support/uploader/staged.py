"""Opens files as the uploader gets them from the stage: announced with size and sha256."""

import hashlib
from pathlib import Path

from common.storage.verified import VerifiedFile
from common.tasks.messages import StagedStem


def announced(path: Path, **changes: object) -> VerifiedFile:
    """Returns the file with the fields that a processor announces; `changes` replaces some of them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    fields = {"key": path.name, "sha256": digest, "bytes": path.stat().st_size, "duration_s": 1.0}
    stem = StagedStem.model_validate(fields | changes)
    return VerifiedFile(path.open("rb"), stem.bytes, stem.sha256)
