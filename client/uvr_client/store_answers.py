"""Tells what the status of a store's answer means, for uploads and downloads alike."""

import httpx

# A timeout, a request that came too early, and too many of them.
_PASSING = (408, 425, 429)
# Stores refuse a link whose time is over by one of these.
_REFUSING = (400, 401, 403, 410)


def may_pass(answer: httpx.Response) -> bool:
    """Returns whether the same request may succeed later."""
    return answer.status_code >= 500 or answer.status_code in _PASSING


def refuses_link(answer: httpx.Response) -> bool:
    """Returns whether a fresh link may succeed."""
    return answer.status_code in _REFUSING
