"""The documents for people, at the top and in docs/, and the commands, links and code in them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import REPOSITORY

PAGES = (
    *(REPOSITORY / name for name in ("README.md", "KAFKA_CONSUMER.md", "SECURITY.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
)
SHELL = ("sh", "console")
_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Fence:
    """One fenced block. `language` is what stands behind its first backticks."""

    page: str
    language: str
    text: str

    def commands(self) -> list[str]:
        """The shell's commands, each on one line without its comment. A loop is one command."""
        if self.language == "console":
            lines = re.findall(r"^\$ ((?:.*\\\n)*.*)$", self.text, re.MULTILINE)
            return [_one_line(line) for line in lines]
        if self.language != "sh":
            return []
        return [_one_line(command) for command in _whole_commands(self.text)]


def name_of(page: Path) -> str:
    """The page's path from the top of the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def fences(*pages: Path) -> list[Fence]:
    """All fenced blocks of these pages, in order."""
    return [
        Fence(name_of(page), match[2].strip(), textwrap.dedent(match[3]))
        for page in pages
        for match in _FENCE.finditer(page.read_text())
    ]


def prose(page: Path) -> str:
    """The page's text without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def block(page: str, text: str) -> str:
    """The only fenced block of `page` that has `text` in it."""
    (found,) = [fence.text for fence in fences(REPOSITORY / page) if text in fence.text]
    return found


def command(page: str, text: str) -> str:
    """The only command of `page` that has `text` in it."""
    (found,) = [line for fence in fences(REPOSITORY / page) for line in fence.commands() if text in line]
    return found


def _whole_commands(text: str) -> Iterator[str]:
    """Joins lines that go on after a backslash, and the lines of a loop."""
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(_without_comment(line))
        is_loop = lines[0].startswith("for ")
        if lines[-1].endswith("\\") or (is_loop and lines[-1] != "done"):
            continue
        if whole := "\n".join(lines).strip():
            yield whole
        lines = []
    assert not lines, f"a command that does not end: {lines}"


def _without_comment(line: str) -> str:
    return re.sub(r"(^| +)#( .*)?$", "", line)


def _one_line(command: str) -> str:
    return " ".join(command.replace("\\\n", " ").replace("\n", " ").split())
