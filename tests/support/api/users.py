"""Users whose hashes cost next to nothing, so that tests are quick."""

from pathlib import Path

from argon2 import PasswordHasher

_HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
# It is in the names of tests, which several processes must agree on.
CHEAP_HASH = _HASHER.hash("password", salt=b"the same always")


def cheap_line(name: str, password: str) -> str:
    """A line for BASIC_AUTH_USERS_FILE."""
    return f"{name}:{_HASHER.hash(password)}"


def write_users(path: Path, **passwords: str) -> Path:
    """The file of users with these names and passwords."""
    path.write_text("".join(f"{cheap_line(*item)}\n" for item in passwords.items()))
    return path
