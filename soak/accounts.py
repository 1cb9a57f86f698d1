"""The users of a soak: one signs in by a password, one by a key, and one by both in turn, under a ceiling."""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.auth.caller import Scope
from api.auth.keys import new_key
from api.auth.keys_file import add_key
from tests.support.api.users import write_users


@dataclass(frozen=True)
class Account:
    """A user, who signs in by a password, by a key or by both. `max_priority` is the user's ceiling."""

    name: str
    has_password: bool
    has_key: bool
    max_priority: int = 5


ACCOUNTS = (
    Account("anna", has_password=True, has_key=False),
    Account("bela", has_password=False, has_key=True),
    Account("cleo", has_password=True, has_key=True, max_priority=3),
)
BY_NAME: Mapping[str, Account] = {account.name: account for account in ACCOUNTS}


class SignIns:
    """The passwords and keys of all accounts, and the files by which the api knows them."""

    def __init__(self, directory: Path):
        """Write the files of users, keys and limits into `directory`."""
        passwords = {account.name: f"{account.name}'s own" for account in ACCOUNTS}
        keys, limits = directory / "keys.json", directory / "limits.toml"
        self._headers: dict[str, list[str]] = {account.name: [] for account in ACCOUNTS}
        for account in ACCOUNTS:
            if account.has_password:
                pair = f"{account.name}:{passwords[account.name]}"
                self._headers[account.name].append(f"Basic {base64.b64encode(pair.encode()).decode()}")
            if account.has_key:
                now_s = time.time()
                text, key = new_key(account.name, (Scope.SUBMIT, Scope.READ), now_s, None)
                add_key(keys, key, now_s)
                self._headers[account.name].append(f"Bearer {text}")
        limits.write_text("".join(f"[users.{a.name}]\nmax_priority = {a.max_priority}\n" for a in ACCOUNTS))
        # All are in the file of users: a key's user must be.
        self.settings = {
            "BASIC_AUTH_USERS_FILE": str(write_users(directory / "users", **passwords)),
            "API_KEYS_FILE": str(keys),
            "USER_LIMITS_FILE": str(limits),
        }

    def header(self, user: str, number: int = 0) -> dict[str, str]:
        """Return the header by which `user` signs in. Different numbers choose among several ways."""
        ways = self._headers[user]
        return {"Authorization": ways[number % len(ways)]}
