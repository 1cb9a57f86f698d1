"""Reads secrets from files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_secret(name: str, path: Path) -> str:
    """Returns the file's text without its last line end. Raises ValueError, which names the setting."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it is not UTF-8"
        raise ValueError(f"{name}: {path} cannot be read: {why}") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"{name}: {path} is empty")
    return secret


def with_secrets_from_files(fields: Iterable[str], values: dict[str, Any]) -> dict[str, Any]:
    """Returns `values` with each secret NAME read from the file NAME_FILE, where that is given.

    Official images and Docker Compose pass secrets in this way. Raises ValueError for a file that cannot be
    read, and when both NAME and NAME_FILE are set.
    """
    fields = set(fields)
    read = {}
    for name in fields:
        file = values.get(f"{name}_file")
        if file and f"{name}_file" in fields:
            if name in values:
                raise ValueError(f"{name.upper()} and {name.upper()}_FILE are both set: expected one of them")
            read[name] = read_secret(f"{name.upper()}_FILE", Path(file))
    return values | read
