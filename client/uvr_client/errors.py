"""What a call can end in other than its answer."""


class UvrError(Exception):
    """The call has failed."""

    def __init__(self, message: str = ""):
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])


class Unreachable(UvrError):
    """The api does not answer."""


class RequestError(UvrError):
    """The api has answered with an error.

    `error_code` says which, where there are kinds. `state` is that of the task that a Conflict is about.
    `retry_after_s` is when another try makes sense, where the api tells it.
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
    """Something in the request is wrong: the same one will fail again."""


class Unauthorized(RequestError):
    """No credentials, or wrong ones."""


class NotFound(RequestError):
    """There is no such task, or it is another user's."""


class Conflict(RequestError):
    """What is asked for does not go with what is there."""


class TooManyRequests(RequestError):
    """Refused for now: too many tasks are queued, or too many sign-ins have failed."""


class ServerError(RequestError):
    """The api has failed, or what answers is not the api."""


class Unavailable(ServerError):
    """The api cannot do it now: Kafka is away, or the api has just started."""


class WaitTimeout(UvrError, TimeoutError):
    """The task was not over in time. It goes on."""


class NoResult(UvrError):
    """The task has no stems: it is not over, or has not succeeded."""


class DownloadFailed(UvrError):
    """A stem could not be fetched."""


class StemMismatch(DownloadFailed):
    """What was fetched is not the stem that the api announces: another digest or size."""
