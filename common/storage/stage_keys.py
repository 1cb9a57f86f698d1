"""The names in the stage: a staged file's key is `{task_uuid}/{place}.{attempt}/{file}`."""

import re
from dataclasses import dataclass
from uuid import UUID

# The names that separators give to stems. The store's keys use them, too.
STEM_NAME = r"[a-z0-9_-]{1,64}"
STEM_FILE = rf"{STEM_NAME}\.(wav|flac|mp3|m4a|ogg)"
# The peaks of an attempt's stems, beside them.
PEAKS_FILE = "peaks.json"
# The end of the name of an attempt whose files are in the store.
RETIRED = ".retired"
_TASK = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ATTEMPT = r"(?P<place>[A-Za-z0-9._-]{1,220})\.(?P<number>\d{1,18})"
TASK_NAME = re.compile(_TASK)
ATTEMPT_NAME = re.compile(rf"{_ATTEMPT}(?P<retired>{re.escape(RETIRED)})?", re.ASCII)
_KEY = re.compile(
    rf"(?P<task>{_TASK})/(?P<attempt>{_ATTEMPT})/(?P<file>{STEM_FILE}|{re.escape(PEAKS_FILE)})", re.ASCII
)


@dataclass(frozen=True)
class StageKey:
    """The parts of a key, each a name in the stage."""

    task: str
    attempt: str
    file: str


def read_key(key: str) -> StageKey:
    """Splits a key into its parts. Raises ValueError for a text that is no key."""
    if found := _KEY.fullmatch(key):
        return StageKey(found["task"], found["attempt"], found["file"])
    raise ValueError(f"not a key of the stage: {key!r}")


def read_attempt(name: str) -> re.Match[str]:
    """Reads `place`, `number` and `retired` from the name of an attempt. Raises ValueError."""
    if found := ATTEMPT_NAME.fullmatch(name):
        return found
    raise ValueError(f"not an attempt of the stage: {name!r}")


def is_any_key(key: str) -> bool:
    """Returns whether `key` can be the key of a staged file."""
    return bool(_KEY.fullmatch(key))


def is_key(key: str, task_uuid: UUID) -> bool:
    """Returns whether `key` can be the key of a stem that a processor has staged for this task."""
    return is_any_key(key) and key.startswith(f"{task_uuid}/") and not key.endswith(f"/{PEAKS_FILE}")


def is_peaks_key(key: str, task_uuid: UUID) -> bool:
    """Returns whether `key` can be the key of the peaks that a processor has staged for this task."""
    return is_any_key(key) and key.startswith(f"{task_uuid}/") and key.endswith(f"/{PEAKS_FILE}")
