"""Holds users to their rules, and tells them what is left.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` says what is allowed, and
`RateLimit` what is left of it and in how many seconds it is renewed.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from api.auth.rules import Rules, RulesFile
from api.metrics import ApiMetrics, TaskRefusal
from api.problems import ProblemError
from api.view.task_view import TaskView, ViewUnavailable
from api.view.usage import DAY_S, day_begins

_RUNNING, _AUDIO = "running", "audio"
_LEAST_RETRY_AFTER_S, _MOST_RETRY_AFTER_S = 1, 3600
# Used while it is unknown how fast tasks are taken.
_UNKNOWN_RETRY_AFTER_S = 30


@dataclass(frozen=True)
class Standing:
    """A limit, and what of it is used. `renewed_in_s`, in seconds: None where no clock renews it."""

    name: str
    limit: int
    used: float
    renewed_in_s: int | None = None

    @property
    def left(self) -> int:
        return max(0, math.floor(self.limit - self.used))

    @property
    def policy(self) -> str:
        """The limit as an item of the header `RateLimit-Policy`."""
        rest = ';qu="concurrent-requests"' if self.renewed_in_s is None else f';qu="audio-seconds";w={DAY_S}'
        return f'"{self.name}";q={self.limit}{rest}'

    @property
    def state(self) -> str:
        """The rest of the limit as an item of the header `RateLimit`."""
        rest = "" if self.renewed_in_s is None else f";t={self.renewed_in_s}"
        return f'"{self.name}";r={self.left}{rest}'


class Quotas:
    """The limits of all users. Nothing is refused for a number that the view does not know yet."""

    def __init__(
        self,
        rules: RulesFile,
        view: TaskView,
        metrics: ApiMetrics,
        wall_clock: Callable[[], float] = time.time,
    ):
        """`wall_clock` gives seconds since the epoch."""
        self._rules, self._view, self._metrics, self._wall_clock = rules, view, metrics, wall_clock

    def check_priority(self, user: str, priority: int) -> None:
        """Raise ProblemError 403 for a priority above the user's ceiling."""
        most = self._rules.of(user).max_priority
        if priority <= most:
            return
        self._metrics.task_refused(TaskRefusal.PRIORITY_NOT_ALLOWED)
        raise ProblemError(
            403,
            f"priority: {priority} is above your highest priority, which is {most}",
            error_code=TaskRefusal.PRIORITY_NOT_ALLOWED,
        )

    async def check_audio(self, user: str) -> None:
        """Raise ProblemError 429 if the audio of the user's day is used up."""
        if not self._view.is_current:
            return
        try:
            audio = await self._audio(user, self._rules.of(user))
        except ViewUnavailable:
            return
        if audio is None or audio.used < audio.limit:
            return
        self._metrics.task_refused(TaskRefusal.AUDIO_LIMIT_REACHED)
        raise ProblemError(
            429,
            f"{audio.used:.0f} s of audio were separated of the songs that you have submitted today, and "
            f"{audio.limit} s are allowed; the next day begins at midnight UTC",
            error_code=TaskRefusal.AUDIO_LIMIT_REACHED,
            headers={"Retry-After": str(audio.renewed_in_s), **_headers(audio)},
        )

    def running_excess(self, user: str, count: int = 1) -> Standing | None:
        """Return the limit if there is no room for `count` more tasks of the user, else None.

        It does not wait: no other request comes between this and what enters the tasks into the backlog.
        """
        running = self._running(user, self._rules.of(user))
        return running if running is not None and running.used + count > running.limit else None

    async def refused(self, user: str, running: Standing, count: int = 1) -> ProblemError:
        """Return the answer, 429, for a user who has no room for `count` more running tasks."""
        self._metrics.task_refused(TaskRefusal.TOO_MANY_RUNNING)
        try:
            room_s = await self._view.room_s(user, max(1, int(running.used) - running.limit + count))
        except ViewUnavailable:
            room_s = None
        return ProblemError(
            429,
            f"You have {running.used:.0f} tasks that are queued or worked on, and {running.limit} are "
            f"allowed; {later(count, running.limit)}",
            error_code=TaskRefusal.TOO_MANY_RUNNING,
            headers={"Retry-After": str(retry_after_s(room_s)), **_headers(running)},
        )

    async def headers(self, user: str) -> Mapping[str, str]:
        """Return the headers that tell what is left of the user's limits; none where none apply."""
        rules = self._rules.of(user)
        if (rules.max_running is None and rules.max_audio_s_per_day is None) or not self._view.is_current:
            return {}
        try:
            found = (self._running(user, rules), await self._audio(user, rules))
        except ViewUnavailable:
            return {}
        return _headers(*filter(None, found))

    def _running(self, user: str, rules: Rules) -> Standing | None:
        if rules.max_running is None or not self._view.is_current:
            return None
        return Standing(_RUNNING, rules.max_running, self._view.backlog.running(user))

    async def _audio(self, user: str, rules: Rules) -> Standing | None:
        """Raise ViewUnavailable."""
        if rules.max_audio_s_per_day is None:
            return None
        now_s = self._wall_clock()
        since = day_begins(now_s)
        used_s = await self._view.audio_s_since(user, since)
        return Standing(_AUDIO, rules.max_audio_s_per_day, used_s, max(1, math.ceil(since + DAY_S - now_s)))


def later(count: int, limit: int) -> str:
    """Return what to do with `count` tasks for which there is no room under `limit`."""
    if count == 1 or not limit:
        return "please submit this one later"
    if count > limit:
        return f"a batch of {count} never fits: please submit it in parts of {limit} at most"
    return f"please submit this batch of {count} later"


def _headers(*standings: Standing) -> dict[str, str]:
    return {
        "RateLimit-Policy": ", ".join(standing.policy for standing in standings),
        "RateLimit": ", ".join(standing.state for standing in standings),
    }


def retry_after_s(room_s: float | None) -> int:
    """Return the seconds of `Retry-After`. `room_s` estimates when there is room; None: nobody knows."""
    if room_s is None:
        return _UNKNOWN_RETRY_AFTER_S
    return math.ceil(min(max(room_s, _LEAST_RETRY_AFTER_S), _MOST_RETRY_AFTER_S))
