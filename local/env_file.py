"""Reads the `.env` file as python-dotenv does, and names the line that is no setting."""

import io
import re
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from local.errors import LocalError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# `$$`, `$NAME` and `${NAME}`; any other `$` stays as it is.
_EXPANDED = re.compile(r"\$[$\{A-Za-z_]")


def read(path: Path) -> dict[str, str]:
    """Return the settings in the file, none if it is not there. Raise LocalError, naming the line at fault.

    No value is expanded: `$HOME` stays `$HOME`.
    """
    values = {}
    for binding in _bindings(path):
        if binding.error or binding.value is None or not _NAME.fullmatch(binding.key or ""):
            raise LocalError(f"{path.name}, line {_line_of(binding)}: expected KEY=VALUE")
        values[str(binding.key)] = binding.value
    return values


def expanded_by_compose(path: Path) -> list[str]:
    """Return the names of settings whose `$` docker compose would expand. In single quotes it does not."""
    return [str(binding.key) for binding in _bindings(path) if _has_dollar(binding)]


def _has_dollar(binding: Binding) -> bool:
    is_single_quoted = binding.original.string.partition("=")[2].lstrip().startswith("'")
    return not is_single_quoted and _EXPANDED.search(binding.value or "") is not None


def _bindings(path: Path) -> list[Binding]:
    """Return the lines that set something, or that are at fault."""
    if not path.exists():
        return []
    found = parse_stream(io.StringIO(_text(path)))
    return [binding for binding in found if not _is_blank(binding)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + error.object.count(b"\n", 0, error.start)
        raise LocalError(
            f"{path.name}, line {line}: expected UTF-8: save the file in that encoding"
        ) from None
    except OSError as error:
        raise LocalError(f"{path.name}: {error.strerror}") from None


def _is_blank(binding: Binding) -> bool:
    """Empty lines and comments come as bindings without a key."""
    return binding.key is None and not binding.error


def _line_of(binding: Binding) -> int:
    """The line of the setting itself: python-dotenv counts the empty lines above as part of the setting."""
    text = binding.original.string
    above = text[: len(text) - len(text.lstrip())]
    # As python-dotenv counts: str.splitlines would count U+2028 and form feeds too.
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", above))
