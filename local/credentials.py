"""Finds a user who may sign in at the local stack's api, as far as its settings show."""

from common.settings.secrets import read_secret
from local.config import LocalConfig
from local.errors import LocalError

_DEFAULT_USER = "admin"
_DEFAULT_PASSWORD = "password"


def known_credentials(config: LocalConfig) -> tuple[str, str] | None:
    """Returns the user and password of the settings; None if only BASIC_AUTH_USERS_FILE has users.

    Raises LocalError when BASIC_AUTH_PASSWORD_FILE cannot be read.
    """
    user = config.given.get("BASIC_AUTH_USERNAME", _DEFAULT_USER)
    password, file = (config.given.get(f"BASIC_AUTH_PASSWORD{suffix}") for suffix in ("", "_FILE"))
    if file:
        try:
            return user, read_secret("BASIC_AUTH_PASSWORD_FILE", config.root / file)
        except ValueError as error:
            raise LocalError(str(error)) from None
    if password:
        return user, password
    return None if "BASIC_AUTH_USERS_FILE" in config.given else (user, _DEFAULT_PASSWORD)


def for_curl(config: LocalConfig) -> str:
    """Returns the value of curl's -u. It has no password if the user set one: curl then asks for it."""
    own = ("BASIC_AUTH_PASSWORD", "BASIC_AUTH_PASSWORD_FILE", "BASIC_AUTH_USERS_FILE")
    given = [name for name in own if name in config.given]
    user = config.given.get("BASIC_AUTH_USERNAME", _DEFAULT_USER)
    if not given:
        return f"{user}:{_DEFAULT_PASSWORD}"
    return (_first_user(config) or user) if given == ["BASIC_AUTH_USERS_FILE"] else user


def _first_user(config: LocalConfig) -> str:
    """Returns the first user in BASIC_AUTH_USERS_FILE; empty if it is unreadable, which the api reports."""
    try:
        text = (config.root / config.given["BASIC_AUTH_USERS_FILE"]).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
    names = (line.strip().partition(":")[0] for line in text.split("\n"))
    return next((name for name in names if name and not name.startswith("#")), "")
