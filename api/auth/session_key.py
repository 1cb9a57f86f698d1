"""The key that signs sessions: SESSION_KEY, or else 32 random bytes in a file beside VIEW_FILE.

The file keeps users signed in through a restart. Several apis that serve one address need the same
SESSION_KEY.
"""

import hashlib
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from common.settings.schema import ApiSettings

log = logging.getLogger(__name__)

FILE_NAME = "session.key"
_KEY_BYTES = 32


def session_key(settings: ApiSettings) -> bytes:
    """Return the key. Where its file is unusable, log why and return a key that ends with the process."""
    if settings.session_key is not None:
        return hashlib.sha256(settings.session_key.get_secret_value().encode()).digest()
    file = settings.view_file.with_name(FILE_NAME)
    try:
        return _read_or_make(file)
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        log.warning("%s: %s. Sessions of the console end with this process", file, why)
        return secrets.token_bytes(_KEY_BYTES)


def _read_or_make(file: Path) -> bytes:
    """Return the key in the file. Raise OSError, and ValueError for a file that is no key."""
    with suppress(FileNotFoundError):
        return _read(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}-{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(secrets.token_bytes(_KEY_BYTES))
            new.flush()
            os.fsync(new.fileno())
        # A link, not a rename: of two apis that make a key at once, both take the first one's.
        with suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    return _read(file)


def _read(file: Path) -> bytes:
    key = file.read_bytes()
    if len(key) != _KEY_BYTES:
        raise ValueError(f"expected {_KEY_BYTES} bytes, found {len(key)}; delete the file")
    return key
