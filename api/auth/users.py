"""Reads BASIC_AUTH_USERS_FILE: each line is a user, `name:$argon2id$…`, a comment with `#`, or empty."""

import re
from pathlib import Path

from argon2 import PasswordHasher

# The library's default is the second recommendation of RFC 9106: 64 MiB and three passes.
_HASHER = PasswordHasher()
# The author of the file decides what a sign-in costs, up to what the process can bear.
_MAX_MEMORY_KIB, _MAX_PASSES, _MAX_LANES = 256 * 1024, 10, 16
_MAX_NAME_CHARACTERS = 128
_BASE64 = "[A-Za-z0-9+/]"
_HASH = re.compile(
    rf"\$argon2id\$v=19\$m=(\d{{1,9}}),t=(\d{{1,9}}),p=(\d{{1,9}})\${_BASE64}{{11,86}}\${_BASE64}{{22,86}}"
)


def read_users(path: Path) -> dict[str, str]:
    """Return Argon2 hashes by users' names. Raise ValueError with the number of a bad line, not its text."""
    try:
        # Cut at line ends alone: str.splitlines would cut a comment at U+2028 or U+0085.
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it is not UTF-8"
        raise ValueError(f"BASIC_AUTH_USERS_FILE {path} cannot be read: {why}") from None
    users: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        try:
            name, encoded = _parse(line)
            if name in users:
                raise ValueError("the name occurs twice")
        except ValueError as error:
            raise ValueError(f"BASIC_AUTH_USERS_FILE {path}, line {number}: {error}") from None
        users[name] = encoded
    if not users:
        raise ValueError(f"BASIC_AUTH_USERS_FILE {path}: expected at least one user")
    return users


def make_line(name: str, password: str) -> str:
    """Return a line for the file. Raise ValueError for an unusable name or password."""
    check_name(name)
    if not password or not password.isprintable():
        raise ValueError("expected a password of printable characters")
    return f"{name}:{_HASHER.hash(password)}"


def parameters_of(encoded: str) -> tuple[int, int, int]:
    """Return memory in KiB, passes and lanes. Raise ValueError for a text that is no hash of Argon2id."""
    match = _HASH.fullmatch(encoded)
    if match is None:
        raise ValueError("expected a hash of Argon2id, as `python -m api hash-password` makes it")
    memory_kib, passes, lanes = map(int, match.groups())
    return memory_kib, passes, lanes


def _parse(line: str) -> tuple[str, str]:
    name, colon, encoded = line.partition(":")
    if not colon:
        raise ValueError("expected name:hash")
    check_name(name)
    memory_kib, passes, lanes = parameters_of(encoded)
    if memory_kib > _MAX_MEMORY_KIB or passes > _MAX_PASSES or lanes > _MAX_LANES:
        raise ValueError(f"expected at most m={_MAX_MEMORY_KIB}, t={_MAX_PASSES} and p={_MAX_LANES}")
    if memory_kib < 8 * lanes or not passes or not lanes:
        raise ValueError("expected a hash that can be computed: m at least 8 times p, t and p at least 1")
    return name, encoded


def check_name(name: str) -> None:
    """Raise ValueError for a name that no user can have."""
    if not name.isascii() or not name.isprintable() or ":" in name or name != name.strip():
        raise ValueError("expected a name of printable ASCII without a colon or spaces around it")
    if not 1 <= len(name) <= _MAX_NAME_CHARACTERS or name.startswith("#"):
        raise ValueError(f"expected a name of 1 to {_MAX_NAME_CHARACTERS} characters, not beginning with #")
