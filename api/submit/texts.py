"""Checks a submission's label and metadata, which many other programs read again."""

import math
import re
from typing import Any

# XML 1.0 has no other characters, and many databases store no NUL. Lone surrogates are no JSON in UTF-8.
_FOREIGN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Parsers of JSON have limits of depth, and statuses hold the metadata two levels deeper.
_MAX_DEPTH = 32


def check_label(label: str | None) -> str | None:
    """Return the label. Raise ValueError if it is blank or has a character that XML cannot hold."""
    if label is not None:
        if not label.strip():
            raise ValueError("has no visible character")
        _check_text(label)
    return label


def check_metadata(metadata: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the metadata. Raise ValueError for texts, numbers and depths that other programs cannot read."""
    if metadata is not None:
        _check(metadata, 1)
    return metadata


def _check(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"has more than {_MAX_DEPTH} objects and lists inside one another")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("has a number that is not finite")
    elif isinstance(value, dict | list):
        for name in value if isinstance(value, dict) else ():
            _check_text(name)
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, depth + 1)


def _check_text(text: str) -> None:
    found = _FOREIGN.search(text)
    if found:
        raise ValueError(f"has the character U+{ord(found[0]):04X}, which many programs cannot hold")
