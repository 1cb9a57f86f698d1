"""Where the api is and who asks: from flags, the environment, and a file, in this order."""

import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8000"
_ENVIRONMENT = {"url": "UVR_URL", "username": "UVR_USERNAME", "password": "UVR_PASSWORD"}


class BadSettings(Exception):
    """A setting is missing or wrong."""


@dataclass(frozen=True)
class Given:
    """Settings of one source, None where it says nothing."""

    url: str | None = None
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:  # the password belongs in no traceback
        return f"Given({self.url!r}, {self.username!r})"


@dataclass(frozen=True, repr=False)
class Settings:
    url: str
    username: str
    password: str


def load(
    flags: Given, environment: Mapping[str, str], file: Path | None, warn: Callable[[str], None]
) -> Settings:
    """`file` is one that was named, which must be there; without it the usual one may be missing.

    Raises BadSettings, with what is missing or wrong and where it can be set.
    """
    path = file or default_file(environment)
    sources = [flags, _of_environment(environment), _of_file(path, file is not None, warn)]
    found = {
        name: next((v for source in sources if (v := getattr(source, name)) is not None), None)
        for name in _ENVIRONMENT
    }
    for name in ("username", "password"):
        if not found[name]:
            raise BadSettings(f"there is no {name}: set {_ENVIRONMENT[name]}, or {name} in {path}")
    return Settings(found["url"] or DEFAULT_URL, found["username"], found["password"])


def default_file(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CONFIG_HOME") or ""
    # A relative one counts for nothing, says the XDG base directory specification.
    # Of a user without a home `~` stays as it is, and no file is found.
    directory = Path(base if os.path.isabs(base) else os.path.expanduser("~/.config"))
    return directory / "uvr" / "config.toml"


def _of_environment(environment: Mapping[str, str]) -> Given:
    # An empty variable is one that is not set.
    return Given(**{name: environment.get(variable) or None for name, variable in _ENVIRONMENT.items()})


def _of_file(path: Path, must_be_there: bool, warn: Callable[[str], None]) -> Given:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = tomllib.load(file)
    except FileNotFoundError:
        if must_be_there:
            raise BadSettings(f"{path}: there is no such file") from None
        return Given()
    except OSError as error:
        raise BadSettings(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: not TOML: {error}") from None
    names = [field.name for field in fields(Given)]
    for name, value in content.items():
        if name not in names:
            raise BadSettings(f"{path}: {name} is not known: expected {', '.join(names)}")
        if not isinstance(value, str):
            raise BadSettings(f"{path}: {name}: expected text in quotes")
    if content.get("password") and mode & stat.S_IROTH:
        warn(f"{path} holds a password and can be read by everyone: chmod 600 {path}")
    return Given(**content)
