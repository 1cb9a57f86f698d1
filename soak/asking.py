"""Asks the api as its users: once, or again and again until it answers."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from soak.accounts import SignIns

_T = TypeVar("_T")

TIMEOUT_S = 12.0
TOO_MANY = 429
_PAUSE_S = 0.5
_LOOKS = 10
# The api is not there, or the broker or the store behind it is not.
AWAY = (OSError, ValueError, http.client.HTTPException)


class Asking:
    """Asks the api at `url` until `stop`. Thread-safe.

    `repeats` counts the requests that were sent again, by what was asked for; `repeated_forms` those of them
    that had a song's bytes. `refusals` tells of each that was refused.
    """

    def __init__(self, url: str, sign_ins: SignIns):
        self.url, self._sign_ins = url, sign_ins
        self.stopping = threading.Event()
        # Guards the two counts.
        self._lock = threading.Lock()
        self.repeats: Counter[str] = Counter()
        self.repeated_forms = 0
        self.refusals: list[str] = []

    def header(self, user: str, number: int = 0) -> dict[str, str]:
        return self._sign_ins.header(user, number)

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> dict[str, Any]:
        """Return the answer's JSON. Raise HTTPError for any answer but a success, and the errors of AWAY."""
        request = urllib.request.Request(self.url + path, body, dict(headers), method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def look(self, path: str, user: str, number: int = 0, method: str = "GET") -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON of an answer; {} for an answer that is no JSON, or none at all.

        The status of no answer is 0. The api gets some time to answer by less than 500.
        """
        for _ in range(_LOOKS):
            status, found = self._look(path, user, number, method)
            if 0 < status < 500:
                break
            time.sleep(_PAUSE_S)
        return status, found

    def _look(self, path: str, user: str, number: int, method: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.url + path, headers=self.header(user, number), method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return answer.status, _json_of(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json_of(error.read())
        except AWAY:
            return 0, {}

    def until_answered(self, what: str, call: Callable[[], _T], is_form: bool = False) -> _T | None:
        """Return the value of `call`, after as many calls as it takes.

        Return None if the api refuses `what`, which is noted, or at the soak's end.
        """
        while not self.stopping.is_set():
            try:
                return call()
            except urllib.error.HTTPError as error:
                if self.is_refusal(what, error, TOO_MANY):
                    return None
            except AWAY:
                pass
            with self._lock:
                self.repeats[what] += 1
                self.repeated_forms += is_form
            self.stopping.wait(_PAUSE_S)
        return None

    def is_refusal(self, what: str, error: urllib.error.HTTPError, *not_now: int) -> bool:
        """Tell whether to give up, and note it then. The codes `not_now`, and those from 500 on, may pass."""
        with error:
            is_refusal = error.code < 500 and error.code not in not_now
            if is_refusal:
                self.refusals.append(f"{what}: {error.code} {error.read()[:200]!r}")
            return is_refusal


def _json_of(body: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(body)
    except ValueError:
        return {}
    return found
