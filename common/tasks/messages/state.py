"""How far a task is."""

from enum import StrEnum

from common.tasks.messages.fields import Moment


class State(StrEnum):
    """How far a task is, in the order in which it gets there; the last three are final."""

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
