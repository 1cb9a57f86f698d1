"""One try of a callback, and what is noted of it, so that anyone can see later what became of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.errors import JobError, TransientError
from common.failpoint import Failpoint
from common.kafka.records import Message
from common.outbound.guarded_session import OutboundNetwork
from common.tasks.messages import DeliveryAttempt, Redelivery, Separated, SeparationFailed
from common.waiting import StopCheck
from uploader import webhook
from uploader.metrics import UploaderMetrics
from uploader.webhook import Delivered, Delivery, Gone, Rejected

# How long it will be until the next try, None after the last.
NextDelay = Callable[[TransientError], int | None]


@dataclass(frozen=True)
class Courier:
    """`timeout_s` is for a POST altogether; `wall_clock` gives seconds since the epoch."""

    network: OutboundNetwork
    secrets: Sequence[str]
    timeout_s: float
    delivery_topic: str
    wall_clock: Callable[[], float]
    metrics: UploaderMetrics

    def post(
        self,
        result: Separated | SeparationFailed | Redelivery,
        webhook_id: str,
        body: bytes,
        try_number: int,
        check: StopCheck,
        next_delay_s: NextDelay,
    ) -> tuple[JobError | None, Message]:
        """What went wrong, if anything, and the delivery's record, for a result that has a `hook_url`.

        Raises only what `check` raises.
        """
        started_at = self.wall_clock()
        answer = webhook.deliver(
            result.hook_url, body, webhook_id, self.secrets, self.network, check, self.timeout_s
        )
        Failpoint.CALLBACK_ANSWERED.reach()
        ended_at = self.wall_clock()
        self.metrics.called(answer, max(0.0, ended_at - started_at))
        error = webhook.as_error(answer)
        times = (started_at, ended_at)
        return error, self._record(result, try_number, times, error, next_delay_s, _status(answer))

    def not_posted(
        self, asked: Redelivery, try_number: int, error: JobError, next_delay_s: NextDelay
    ) -> Message:
        """The record of a try for which there was no body to post."""
        now_s = self.wall_clock()
        return self._record(asked, try_number, (now_s, now_s), error, next_delay_s)

    def _record(
        self,
        result: Separated | SeparationFailed | Redelivery,
        try_number: int,
        times: tuple[float, float],
        error: JobError | None,
        next_delay_s: NextDelay,
        status: int | None = None,
    ) -> Message:
        started_at, ended_at = times
        delay_s = next_delay_s(error) if isinstance(error, TransientError) else None
        noted = DeliveryAttempt(
            task_uuid=result.task_uuid,
            run=result.run,
            hook_url=result.hook_url,
            try_number=try_number,
            started_at=started_at,
            took_s=max(0.0, ended_at - started_at),
            status=status,
            error_code=error and error.code,
            error_message=error and error.message,
            next_try_at=None if delay_s is None else ended_at + delay_s,
            redelivery_requested_at=result.requested_at if isinstance(result, Redelivery) else None,
        )
        return Message(self.delivery_topic, str(result.task_uuid).encode(), noted.to_bytes())


def _status(answer: Delivery) -> int | None:
    match answer:
        case Delivered(status) | Rejected(status):
            return status
        case Gone():
            return 410
    return None
