"""Reads settings at the start of a service or command, and ends the process if they are wrong."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from common.errors import is_disk_full
from common.settings.exit_codes import EXIT_BAD_SETTINGS

T = TypeVar("T", bound=BaseSettings)


class BadSettings(Exception):
    """A setting is missing or wrong."""


def load(kind: type[T]) -> T:
    """Reads `kind` from the environment. Raises BadSettings, which names every setting that is wrong."""
    try:
        return kind()
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors(include_url=False)]
        raise BadSettings("; ".join(lines)) from None


def load_or_exit(kind: type[T]) -> T:
    """Reads `kind` for an entry point: says on standard error what is wrong, and ends the process."""
    try:
        return load(kind)
    except BadSettings as error:
        exit_for_bad_settings(str(error))


def exit_for_bad_settings(reason: str) -> NoReturn:
    """Says on standard error why the process cannot start, and ends it."""
    print(f"cannot start: {reason}", file=sys.stderr)
    sys.exit(EXIT_BAD_SETTINGS)


@contextmanager
def exit_if_unusable(name: str, directory: Path) -> Iterator[None]:
    """Wraps the first use of the directory in setting `name`: an OSError there ends the process."""
    try:
        yield
    except OSError as error:
        reason = f"{name} {directory}: {error.strerror or error}"
        if is_disk_full(error):  # not for ever: supervisors are to try again
            sys.exit(f"cannot start: {reason}")
        exit_for_bad_settings(reason)


def _explain(item: ErrorDetails) -> str:
    if not item["loc"]:
        return item["msg"].removeprefix("Value error, ")
    name = str(item["loc"][0]).upper()
    if item["type"] == "missing":
        return f"{name} is not set"
    # The value of a secret is left out. The name decides: a wrong value has not become a SecretStr.
    secret = re.search("PASSWORD|SECRET|KEY|TOKEN", name)
    got = "" if secret or name not in os.environ else f" (got {os.environ[name]!r})"
    return f"{name}: {item['msg'].removeprefix('Value error, ')}{got}"
