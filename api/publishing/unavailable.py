"""Answers a request whose message could not be stored in time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from api.problems import ProblemError
from api.publishing.publisher import PublisherUnavailable

log = logging.getLogger(__name__)

_RETRY_AFTER_S = 10


class Unconfirmed(ProblemError):
    """Kafka has not confirmed the message in time. It may have it nevertheless."""


@contextmanager
def confirmed_in_time(what: str, detail: str) -> Iterator[None]:
    """Turn a PublisherUnavailable into Unconfirmed (503) with `detail`. Log that `what` failed, and why."""
    try:
        yield
    except PublisherUnavailable as error:
        log.warning("%s: %s", what, error)
        raise Unconfirmed(503, detail, headers={"Retry-After": str(_RETRY_AFTER_S)}) from None
