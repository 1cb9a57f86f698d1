"""Tells what the status of a store's answer means, for uploads and downloads alike."""

import httpx

# A timeout, a request that came too early, and too many of them.
_PASSING = (408, 425, 429)
# S3 answers a body that has paused for too long, such as in a network that was away, with 400 and this code.
_TOO_SLOW = b"<Code>RequestTimeout</Code>"
# Stores refuse a link whose time is over by one of these.
_REFUSING = (400, 401, 403, 410)


def may_pass(answer: httpx.Response) -> bool:
    """Returns whether the same request may succeed later."""
    return answer.status_code >= 500 or answer.status_code in _PASSING


def refuses_link(answer: httpx.Response) -> bool:
    """Returns whether a fresh link may succeed."""
    return answer.status_code in _REFUSING


def came_too_slowly(answer: httpx.Response) -> bool:
    """Returns whether the store waited for the request's body in vain. The answer was read to its end."""
    return answer.status_code == 400 and _TOO_SLOW in answer.content
