"""Changes the file of keys: the whole file is replaced at once, for one command at a time."""

import fcntl
import os
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from api.auth.keys import MAX_KEYS, ApiKey, KeysFile, parse_keys

# A key that ended this long ago is left out of the file with the next change.
_KEPT_AFTER_END_S = 90 * 24 * 3600


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys in the file, none if there is no file. Raise OSError, and ValueError for a bad file."""
    try:
        return parse_keys(path.read_bytes()).keys
    except FileNotFoundError:
        return ()


def add_key(path: Path, key: ApiKey, now_s: float) -> None:
    """Add a key to the file. Raise OSError, and ValueError for a file that is broken or full."""

    def added(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        kept = tuple(one for one in keys if not _ended_long_ago(one, now_s))
        if len(kept) >= MAX_KEYS:
            raise ValueError(f"expected at most {MAX_KEYS} keys: revoke some")
        return (*kept, key)

    _change(path, added)


def revoke_keys(path: Path, ids: Collection[str], user: str | None, now_s: float) -> tuple[ApiKey, ...]:
    """Revoke the keys with these ids, and all keys of `user`. Return the keys that are revoked now.

    Raise OSError, and ValueError for a broken file and for an id that no key has: nothing is changed then.
    """
    revoked: list[ApiKey] = []

    def marked(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        if unknown := set(ids) - {key.id for key in keys}:
            raise ValueError(f"no key has the id {', '.join(sorted(unknown))}")
        changed = []
        for key in keys:
            if key.id in ids or (user is not None and key.user == user):
                key = key.model_copy(update={"revoked_at": key.revoked_at or now_s})
                revoked.append(key)
            changed.append(key)
        return tuple(changed)

    _change(path, marked)
    return tuple(revoked)


def _ended_long_ago(key: ApiKey, now_s: float) -> bool:
    ends = [at for at in (key.expires_at, key.revoked_at) if at is not None]
    return bool(ends) and min(ends) + _KEPT_AFTER_END_S < now_s


def _change(path: Path, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]) -> None:
    path = path.resolve()  # a link stays a link
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _replace(path, KeysFile(keys=change(read_keys(path))))


def _replace(path: Path, content: KeysFile) -> None:
    """Write the file for its owner alone. A crash leaves the old file or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(content.model_dump_json(indent=1, exclude_none=True).encode() + b"\n")
            _keep_owner(new.fileno(), path)
            new.flush()
            os.fsync(new.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _keep_owner(file: int, path: Path) -> None:
    """Give the new file to the old file's owner, or the folder's: root may make keys for the api's user."""
    if os.geteuid() != 0:
        return
    owner = os.stat(path if path.exists() else path.parent)
    os.fchown(file, owner.st_uid, owner.st_gid)
