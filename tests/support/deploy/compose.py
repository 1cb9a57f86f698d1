"""Reads docker-compose.yml and the Dockerfile as Docker does, with the features that ours use."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import REPOSITORY

COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
GPU_FILE = REPOSITORY / "docker-compose.gpu.yml"
TRIO = ("api", "processor", "uploader")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load(environ: Mapping[str, str], *files: Path) -> dict[str, Any]:
    """Returns the merged files, docker-compose.yml by default, with the variables of `environ` inserted."""
    merged: dict[str, Any] = {}
    for file in files or (COMPOSE_FILE,):
        merged = _merge(merged, _expanded(_parsed(file.read_text()), environ))
    for service in merged["services"].values():
        given = service.get("environment", {})
        # A variable without a value is passed on if it is set.
        resolved = {name: environ.get(name) if value is None else value for name, value in given.items()}
        service["environment"] = {name: value for name, value in resolved.items() if value is not None}
    return merged


@functools.cache
def _parsed(text: str) -> Any:
    """Parses once what many tests look at. Whoever gets it must not change it."""
    return yaml.safe_load(text)


def variables(file: Path = COMPOSE_FILE) -> set[str]:
    """Returns every variable of .env that the file uses."""
    services = _parsed(file.read_text())["services"].values()
    passed = {n for s in services for n, value in s.get("environment", {}).items() if value is None}
    lines = [line.partition("#")[0] for line in file.read_text().splitlines()]
    return passed | set(re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)", "\n".join(lines)))


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """Expands `$NAME`, `${NAME}`, `${NAME:-other}`, `:+`, `-` and `+`, also nested; `$$` is a dollar sign."""
    out, position = "", 0
    while position < len(text):
        dollar = text.find("$", position)
        if dollar < 0:
            return out + text[position:]
        out += text[position:dollar]
        if text.startswith("$$", dollar):
            out, position = out + "$", dollar + 2
        elif text.startswith("${", dollar):
            end = _closing(text, dollar + 2)
            out, position = out + _value(text[dollar + 2 : end], environ), end + 1
        else:
            match = _NAME.match(text, dollar + 1)
            assert match, f"not a variable: {text!r}"
            out, position = out + environ.get(match[0], ""), match.end()
    return out


def _closing(text: str, start: int) -> int:
    depth = 1
    for index in range(start, len(text)):
        if text[index] == "{":
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if not depth:
                return index
    raise AssertionError(f"no closing brace: {text!r}")


def _value(expression: str, environ: Mapping[str, str]) -> str:
    name = _NAME.match(expression)
    assert name, f"not a variable: {expression!r}"
    value, rest = environ.get(name[0]), expression[name.end() :]
    if not rest:
        return value or ""
    operator = re.match(r":?[-+]", rest)
    assert operator, f"an operator that compose has, and this reader has not: {expression!r}"
    other = interpolate(rest[operator.end() :], environ)
    there = bool(value) if ":" in operator[0] else value is not None
    if operator[0][-1] == "+":
        return other if there else ""
    return value or "" if there else other


def _expanded(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return interpolate(value, environ)
    if isinstance(value, list):
        return [_expanded(item, environ) for item in value]
    if isinstance(value, dict):
        return {key: _expanded(item, environ) for key, item in value.items()}
    return value


def _merge(base: Any, other: Any) -> Any:
    if isinstance(base, dict) and isinstance(other, dict):
        return base | {key: _merge(base[key], item) if key in base else item for key, item in other.items()}
    if isinstance(base, list) and isinstance(other, list):
        return base + other
    return other


def seconds(duration: str) -> float:
    """Returns the seconds of a duration such as `30s` or `5m`."""
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


@dataclass
class Image:
    """A stage of the Dockerfile, with what it inherits from the stages below it."""

    env: dict[str, str] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    user: str = "root"
    copied_from: list[str] = field(default_factory=list)
    mounted: list[str] = field(default_factory=list)


def images() -> dict[str, Image]:
    """Returns the stages by name. They copy `sources` from the repository; their commands see `mounted`."""
    text = re.sub(r"^#.*\n", "", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages: dict[str, Image] = {}
    current = Image()
    for line in re.sub(r"\\\n", " ", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        arguments = rest.split()
        if word == "FROM":
            base = stages.get(arguments[0], Image())
            current = Image(
                dict(base.env), list(base.sources), base.user, list(base.copied_from), list(base.mounted)
            )
            stages[arguments[2]] = current
        elif word == "ENV":
            current.env |= dict(pair.split("=", 1) for pair in arguments)
        elif word == "RUN":
            current.mounted += re.findall(r"--mount=type=bind,source=([^, ]+)", rest)
        elif word == "USER":
            current.user = arguments[0]
        elif word == "COPY" and arguments[0].startswith("--from="):
            current.copied_from.append(arguments[0].removeprefix("--from="))
        elif word == "COPY":
            current.sources += arguments[:-1]
    return stages
