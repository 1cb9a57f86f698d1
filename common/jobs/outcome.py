"""The outcomes of an attempt: values that the worker turns into one transaction."""

from collections.abc import Callable
from dataclasses import dataclass, field

from common.errors import JobError
from common.jobs.places import Claim
from common.kafka.records import Message


def nothing() -> None:
    """Does nothing: the default for effects that follow a transaction."""


@dataclass(frozen=True)
class Done:
    """The attempt is over: publish `messages` together with the offset, then run `after_commit`.

    `after_commit` runs once the transaction is known to have committed, so it may remove what nobody needs
    any more. `undo` runs once the transaction is known never to commit. After a kill, or where the end is
    unknown, neither runs: correctness must not depend on them.
    """

    messages: tuple[Message, ...] = ()
    after_commit: Callable[[], None] = field(default=nothing, compare=False)
    undo: Callable[[], None] = field(default=nothing, compare=False)


@dataclass(frozen=True)
class Failed:
    """The attempt has failed, for good or for now: the type of `error` tells which.

    A handler may return a subclass that carries what its `after_failure` needs.
    """

    error: JobError


@dataclass(frozen=True)
class Poison:
    """The record cannot be decoded: its bytes go to the dead letters."""

    reason: str


@dataclass(frozen=True)
class Dropped:
    """The lease was lost, or the job must stop: publish nothing, commit nothing."""


@dataclass(frozen=True)
class Deferred:
    """The job needs a place, and none was free: it begins again once it has one.

    The attempt does not count, and no try is used up. `messages` are published when the record begins to
    wait.
    """

    claim: Claim
    messages: tuple[Message, ...] = ()


Outcome = Done | Failed | Poison | Dropped | Deferred
