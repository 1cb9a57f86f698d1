"""Lists the environment variables that the services read.

The settings take 0.3 s to import, and most commands of the local stack need only their names. These are kept
in a file, which is made again when the code of the settings changes.
"""

import contextlib
import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from local.private_files import write_private

if TYPE_CHECKING:
    from common.settings.schema import KafkaSettings

KINDS = ("api", "processor", "uploader")

# The processors' keys to a store elsewhere, by the names of the settings that they become.
PROCESSOR_KEYS = {
    f"PROCESSOR_{name}": name
    for name in (
        "AWS_ACCESS_KEY_ID",
        *("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE"),
        *("AWS_SESSION_TOKEN", "AWS_SESSION_TOKEN_FILE"),
    )
}

_ROOT = Path(__file__).resolve().parents[1]
_CODE = _ROOT / "common" / "settings"
_KEPT = _ROOT / ".local" / "cache" / "setting-names.json"


def names(*kinds: str) -> set[str]:
    """Returns the variables that the services of `kinds` read; without `kinds`, those of all services."""
    return {name for kind in kinds or KINDS for name in _described()[kind]}


def path_names() -> set[str]:
    """Returns the variables whose values are paths."""
    return {name for known in _described().values() for name, is_path in known.items() if is_path}


def variable_name(kind: "type[KafkaSettings]", field_name: str) -> str:
    """Returns the variable that sets a field of `kind`."""
    from pydantic import AliasChoices

    alias = kind.model_fields[field_name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else field_name.upper()


@functools.cache
def _described() -> dict[str, dict[str, bool]]:
    """Returns for each kind of service its variables, and whether their values are paths."""
    digest = hashlib.sha256()
    for file in sorted(_CODE.rglob("*.py")):
        digest.update(file.read_bytes())
    # Another version's file lacks the key or has another digest.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_KEPT.read_text())
        if kept["made_of"] == digest.hexdigest():
            kinds: dict[str, dict[str, bool]] = kept["kinds"]
            return kinds
    described = _describe()
    with contextlib.suppress(OSError):  # the next command describes them again
        write_private(_KEPT, json.dumps({"made_of": digest.hexdigest(), "kinds": described}))
    return described


def _describe() -> dict[str, dict[str, bool]]:
    from common.settings.schema import ApiSettings, ProcessorSettings, UploaderSettings

    settings: tuple[type[KafkaSettings], ...] = (ApiSettings, ProcessorSettings, UploaderSettings)
    return {
        name: {
            variable_name(kind, field_name): "Path" in str(field.annotation)
            for field_name, field in kind.model_fields.items()
        }
        for name, kind in zip(KINDS, settings, strict=True)
    }
