"""Reads the `.env` file as python-dotenv does, and names the line that is no setting."""

import io
import re
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from local.errors import LocalError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read(path: Path) -> dict[str, str]:
    """Return the settings in the file, none if it is not there. Raise LocalError, naming the line at fault.

    No value is expanded: `$HOME` stays `$HOME`.
    """
    if not path.exists():
        return {}
    values = {}
    for binding in parse_stream(io.StringIO(path.read_text(encoding="utf-8-sig"))):
        if _is_blank(binding):
            continue
        if binding.error or binding.value is None or not _NAME.fullmatch(binding.key or ""):
            raise LocalError(f"{path.name}, line {_line_of(binding)}: expected KEY=VALUE")
        values[str(binding.key)] = binding.value
    return values


def _is_blank(binding: Binding) -> bool:
    """Empty lines and comments come as bindings without a key."""
    return binding.key is None and not binding.error


def _line_of(binding: Binding) -> int:
    """The line of the setting itself: python-dotenv counts the empty lines above as part of the setting."""
    text = binding.original.string
    above = text[: len(text) - len(text.lstrip())]
    # As python-dotenv counts: str.splitlines would count U+2028 and form feeds too.
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", above))
