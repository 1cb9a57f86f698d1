"""The states of a task."""

from enum import StrEnum

from common.tasks.messages.fields import Moment


class State(StrEnum):
    """The states of a task, in the order in which it goes through them. The last three are final."""

    QUEUED = "queued"
    DOWNLOADING = "downloading"
    PREPARING = "preparing"
    SEPARATING = "separating"
    UPLOADING = "uploading"
    DELIVERING = "delivering"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


Times = dict[State, Moment]
