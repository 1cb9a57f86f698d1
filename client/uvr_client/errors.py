"""Defines the exceptions that a call of the client can raise."""

from collections.abc import Sequence


class UvrError(Exception):
    """The call has failed. Its notes name the uploads that the call has left in the store."""

    def __init__(self, message: str = ""):
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])


class Unreachable(UvrError):
    """The api does not answer."""


class RequestError(UvrError):
    """The api has answered with an error.

    `status` is the HTTP status. `error_code` names the error where the api gives it a code. `state` is the
    task's state with a Conflict. `retry_after_s` is the time to wait before a retry, where the api gives it.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        error_code: str | None = None,
        state: str | None = None,
        retry_after_s: float | None = None,
    ):
        super().__init__(message)
        self.status, self.error_code = status, error_code
        self.state, self.retry_after_s = state, retry_after_s


class BadRequest(RequestError):
    """The request is invalid: sending the same one again will fail again."""


class Unauthorized(RequestError):
    """The user name or the password is missing or wrong."""


class NotFound(RequestError):
    """There is no such task, it belongs to another user, or its results have been deleted."""


class Conflict(RequestError):
    """The request conflicts with the state of the task, or with an earlier submission."""


class TooManyRequests(RequestError):
    """The api refuses for now: too many tasks are queued, or too many sign-ins have failed."""


class ServerError(RequestError):
    """The api has failed, or the answer did not come from the api."""


class Unavailable(ServerError):
    """The api cannot serve the request now: Kafka is unavailable, or the api has just started."""


class WaitTimeout(UvrError, TimeoutError):
    """The task did not end in time. It goes on."""


class NoResult(UvrError):
    """The task has no stems: it has not ended yet, or it has not succeeded."""


class StemsDeleted(NoResult):
    """The task's stems are deleted."""


class DownloadFailed(UvrError):
    """A stem could not be downloaded."""


class UploadFailed(UvrError):
    """A song's file cannot be read or has changed, or the store does not take it."""


class OutputFailed(UvrError):
    """The command's output cannot be written."""


class StemMismatch(DownloadFailed):
    """The downloaded bytes differ in size or sha256 from the stem that the api announced."""


class WebhookError(UvrError):
    """A callback cannot be taken for the uploader's."""


class WebhookMalformed(WebhookError):
    """The callback lacks a header of its signature, or its body is not a JSON object."""


class WebhookExpired(WebhookError):
    """The callback was signed too long ago, or by a clock that differs from this one."""


class WebhookForged(WebhookError):
    """No signature of the callback is by one of the keys."""


class WebhookKeyInvalid(WebhookError, ValueError):
    """A key for callbacks is not valid, or the package that it needs is not installed."""


def notes(error: BaseException) -> Sequence[str]:
    """Returns what `error.add_note` was called with."""
    return getattr(error, "__notes__", ())
