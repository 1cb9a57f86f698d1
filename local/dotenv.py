"""`.env` files: plain KEY=VALUE lines."""

import re
from pathlib import Path

from local.errors import LocalError

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def read(path: Path) -> dict[str, str]:
    """The file's settings; none if it is not there. Raises LocalError, which names the line at fault.

    Values may stand in quotes. In a value without quotes ` #` begins a comment. Nothing is expanded.
    """
    if not path.exists():
        return {}
    values = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise LocalError(f"{path.name}, line {number}: expected KEY=VALUE")
        values[match[1]] = _value(match[2])
    return values


def _value(text: str) -> str:
    quoted = re.fullmatch(r"""(["'])(.*)\1(?:\s+#.*)?""", text)
    if quoted:
        return quoted[2]
    return re.split(r"(?:^|\s+)#", text, maxsplit=1)[0].strip()
