"""Checks names and passwords, at a bounded price.

Argon2 costs about 64 MiB and 0.1 s on purpose. Therefore the checks run in a few threads, and only a limited
number may wait. Requests with the same credentials share one check, and right credentials are remembered for
5 minutes.

No password is remembered: the key of an entry is an HMAC of name and password, under a random key that only
this process has. Only right credentials are remembered, so that wrong guesses cannot push them out. All of it
ends with the process; a changed users file counts after a restart.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.low_level import Type

from api.auth.users import parameters_of

_THREADS = 2
_MAX_WAITING = 50
_REMEMBERED_S = 300.0
_MAX_REMEMBERED = 1024

_verifier = PasswordHasher()


class TooManySignIns(Exception):
    """Too many passwords wait to be checked."""


@dataclass(frozen=True)
class Pair:
    """BASIC_AUTH_USERNAME and BASIC_AUTH_PASSWORD."""

    name: str
    password: str

    @cached_property
    def _digests(self) -> tuple[bytes, bytes]:
        return _digest(self.name.encode()), _digest(self.password.encode())

    def matches(self, name: bytes, password: bytes) -> bool:
        right_name, right_password = self._digests
        # The time of a comparison reveals nothing, not even a length: digests are of one length, and both are
        # always compared.
        is_name = hmac.compare_digest(_digest(name), right_name)
        is_password = hmac.compare_digest(_digest(password), right_password)
        return is_name and is_password


class SignIn:
    """Checks credentials. All methods belong to one event loop.

    `pair` may be None, and `users`, the hashes by name, may be empty.
    """

    def __init__(
        self,
        pair: Pair | None,
        users: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        verify: Callable[[str, bytes], bool] | None = None,
        max_waiting: int = _MAX_WAITING,
        max_remembered: int = _MAX_REMEMBERED,
    ):
        """`verify`, which runs in a thread, says whether an encoded hash belongs to a password."""
        self._pair, self._users, self._clock = pair, dict(users), clock
        self._verify, self._max_waiting, self._max_remembered = (
            verify or _is_hash_of,
            max_waiting,
            max_remembered,
        )
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[bool]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="sign-in")
        self._names = sorted(self._users)
        self._decoys = {cost: _decoy(*cost) for cost in map(parameters_of, self._users.values())}

    def credential_of(self, name: str) -> bytes | None:
        """Return the user's password or its hash, for signing sessions; None if there is no such user."""
        if self._pair and self._pair.name == name:
            return self._pair.password.encode()
        encoded = self._users.get(name)
        return None if encoded is None else encoded.encode()

    def known(self, name: bytes, password: bytes) -> str | None:
        """Return the user if that needs no check by Argon2, else None."""
        if self._pair and self._pair.matches(name, password):
            return self._pair.name
        key = self._mac(name, password)
        user, until_s = self._remembered.get(key, ("", 0.0))
        if self._clock() < until_s:
            return user
        self._remembered.pop(key, None)
        return None

    def is_under_way(self, name: bytes, password: bytes) -> bool:
        """Return whether the same credentials are being checked already."""
        return self._mac(name, password) in self._under_way

    async def check(self, name: bytes, password: bytes) -> str | None:
        """Return the user, or None for wrong credentials. Raise TooManySignIns."""
        if not self._users:
            return None
        key = self._mac(name, password)
        answer = self._under_way.get(key)
        if answer is None:
            if len(self._under_way) >= self._max_waiting:
                raise TooManySignIns
            answer = self._begin(key, name, password)
        # a client that disconnects must not cancel the check for the requests that share it
        return name.decode() if await asyncio.shield(answer) else None

    def _begin(self, key: bytes, name: bytes, password: bytes) -> asyncio.Future[bool]:
        user = name.decode("ascii", "replace")
        encoded = self._users.get(user)
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, self._verify, encoded or self._decoy_for(name), password
        )
        answer = asyncio.ensure_future(self._finish(key, user, encoded is not None, work))
        self._under_way[key] = answer
        return answer

    async def _finish(self, key: bytes, user: str, exists: bool, work: asyncio.Future[bool]) -> bool:
        try:
            right = await work and exists
        finally:
            del self._under_way[key]
        if right:
            self._remembered[key] = (user, self._clock() + _REMEMBERED_S)
            if len(self._remembered) > self._max_remembered:
                self._remembered.popitem(last=False)
        return right

    def _decoy_for(self, name: bytes) -> str:
        """Return a hash with which a name that no user has costs as much as a user's name.

        The same name always costs as much as the same user.
        """
        chosen = int.from_bytes(self._mac(name, b"")) % len(self._names)
        return self._decoys[parameters_of(self._users[self._names[chosen]])]

    def _mac(self, name: bytes, password: bytes) -> bytes:
        return hmac.digest(self._key, len(name).to_bytes(4) + name + password, "sha256")


def _is_hash_of(encoded: str, password: bytes) -> bool:
    try:
        return _verifier.verify(encoded, password)
    except VerifyMismatchError:
        return False


def _decoy(memory_kib: int, passes: int, lanes: int) -> str:
    """Return the hash of a password that nobody knows."""
    return PasswordHasher(passes, memory_kib, lanes, type=Type.ID).hash(secrets.token_bytes(32))


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
