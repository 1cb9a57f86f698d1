"""Makes one try of a callback, and the delivery record that reports the try."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.errors import JobError
from common.failpoint import Failpoint
from common.jobs.retry import Decision, Retry
from common.kafka.records import Message
from common.outbound.guarded_session import OutboundNetwork
from common.tasks.messages import BatchEnded, DeliveryAttempt, Redelivery
from common.waiting import StopCheck
from uploader import webhook
from uploader.metrics import UploaderMetrics
from uploader.places import Called
from uploader.webhook import Delivered, Delivery, Gone, Rejected


@dataclass(frozen=True)
class CallbackTry:
    """One try of a callback. `number` counts from 1; times are in seconds since the epoch.

    `error` is None once the callback was delivered; `status` is the receiver's HTTP status, if there was one.
    """

    number: int
    hook_url: str
    started_at: float
    ended_at: float
    error: JobError | None
    status: int | None = None


@dataclass(frozen=True)
class CallbackSender:
    """Posts callbacks. `timeout_s` is for a whole POST; `wall_clock` gives seconds since the epoch."""

    network: OutboundNetwork
    secrets: Sequence[str]
    timeout_s: float
    delivery_topic: str
    wall_clock: Callable[[], float]
    metrics: UploaderMetrics

    def post(self, hook_url: str, webhook_id: str, body: bytes, number: int, check: StopCheck) -> CallbackTry:
        """Posts `body` once, as try `number`. Raises only what `check` raises."""
        started_at = self.wall_clock()
        answer = webhook.deliver(
            hook_url, body, webhook_id, self.secrets, self.network, check, self.timeout_s
        )
        Failpoint.CALLBACK_ANSWERED.reach()
        ended_at = self.wall_clock()
        self.metrics.called(answer, max(0.0, ended_at - started_at))
        return CallbackTry(
            number, hook_url, started_at, ended_at, webhook.as_error(answer), _http_status(answer)
        )

    def not_posted(self, hook_url: str, number: int, error: JobError) -> CallbackTry:
        """Returns a try that failed with `error` before there was a body to post."""
        now_s = self.wall_clock()
        return CallbackTry(number, hook_url, now_s, now_s, error)

    def delivery_record(
        self,
        source: Called,
        callback_try: CallbackTry,
        next_try_at: float | None,
    ) -> Message:
        """Returns the record of a try of the callback that `source` asked for.

        `next_try_at` is in seconds since the epoch, None after the last try.
        """
        error = callback_try.error
        attempt = DeliveryAttempt(
            task_uuid=source.task_uuid,
            run=source.run,
            hook_url=callback_try.hook_url,
            try_number=callback_try.number,
            started_at=callback_try.started_at,
            took_s=max(0.0, callback_try.ended_at - callback_try.started_at),
            status=callback_try.status,
            error_code=error.code if error else None,
            error_message=error.message if error else None,
            next_try_at=next_try_at,
            redelivery_requested_at=_asked_again_at(source),
        )
        return Message(self.delivery_topic, str(source.task_uuid).encode(), attempt.to_bytes())


def next_try_at(decision: Decision) -> float | None:
    """Returns when the callback is tried again, in seconds since the epoch; None when it is given up."""
    return decision.at if isinstance(decision, Retry) else None


def _asked_again_at(source: Called) -> float | None:
    """Returns when a user asked for this redelivery, in seconds since the epoch; None if it is none."""
    match source:
        case Redelivery() | BatchEnded(is_redelivery=True):
            return source.requested_at
    return None


def _http_status(answer: Delivery) -> int | None:
    match answer:
        case Delivered(status) | Rejected(status):
            return status
        case Gone():
            return 410
    return None
