"""Tells what has become of a batch's callback, from the tries that uploaders have reported."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, Field

from common.tasks.messages import DeliveryAttempt, TaskBatch


class CallbackState(StrEnum):
    """The states of a batch's callback. All but the first are those of the last try."""

    AWAITED = "awaited"
    """A task of the batch has not ended, so there is nothing to send yet."""
    DELIVERING = "delivering"
    """The callback is to be sent, for the first time or again."""
    DELIVERED = "delivered"
    """The receiver has taken it."""
    GIVEN_UP = "given_up"
    """No further try comes by itself."""


class CallbackStatus(BaseModel):
    """A batch's callback and what has become of it. Points in time are in seconds since the epoch."""

    state: CallbackState
    tries: int = Field(description="the number of all tries, those of redeliveries too")
    last_try_at: float | None = None
    status: int | None = Field(
        default=None, description="the receiver's HTTP status at the last try, if it answered"
    )
    error_code: str | None = Field(default=None, description="why the last try has failed")
    error_message: str | None = None
    next_try_at: float | None = Field(default=None, description="absent after the last try")
    redelivery_requested_at: float | None = Field(
        default=None, description="only if the last try was a redelivery's: when a user asked for it"
    )

    @classmethod
    def of(cls, batch: TaskBatch, attempts: Sequence[DeliveryAttempt]) -> Self | None:
        """`attempts` are in the order of time. Return None for a batch without a `hook_url`."""
        if batch.hook_url is None:
            return None
        if not attempts:
            state = CallbackState.AWAITED if batch.ended_at is None else CallbackState.DELIVERING
            return cls(state=state, tries=0)
        last = attempts[-1]
        if last.error_code is None:
            state = CallbackState.DELIVERED
        else:
            state = CallbackState.GIVEN_UP if last.next_try_at is None else CallbackState.DELIVERING
        return cls(
            state=state,
            tries=len(attempts),
            last_try_at=last.started_at,
            status=last.status,
            error_code=last.error_code,
            error_message=last.error_message,
            next_try_at=last.next_try_at,
            redelivery_requested_at=last.redelivery_requested_at,
        )
