"""Answers a request whose message could not be stored in time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from api.problems import ProblemError
from api.publishing.publisher import NotSent, PublisherUnavailable

log = logging.getLogger(__name__)

_RETRY_AFTER_S = 10


class Unconfirmed(ProblemError):
    """Kafka has not confirmed the message in time. It may have it nevertheless."""


@contextmanager
def confirmed_in_time(what: str, detail: str) -> Iterator[None]:
    """Turn a PublisherUnavailable into Unconfirmed (503) with `detail`. Log that `what` failed, and why.

    A NotSent becomes a plain ProblemError with the same answer.
    """
    headers = {"Retry-After": str(_RETRY_AFTER_S)}
    try:
        yield
    except NotSent as error:
        log.warning("%s, and not sent: %s", what, error)
        raise ProblemError(503, detail, headers=headers) from None
    except PublisherUnavailable as error:
        log.warning("%s: %s", what, error)
        raise Unconfirmed(503, detail, headers=headers) from None
