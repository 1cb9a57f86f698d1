"""The messages by which a user tries a receiver."""

from typing import Literal
from uuid import UUID

from common.tasks.messages.fields import SCHEMA_VERSION, MessageModel, Moment, RequestId


class HookTest(MessageModel):
    """`uvr_results`: sends a signed example to `hook_url`, once. The try is recorded as any other."""

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["hook_test"] = "hook_test"
    test_uuid: UUID
    hook_url: str
    requested_at: Moment
    user: str = ""
    request_id: RequestId = ""

    @property
    def task_uuid(self) -> UUID:
        """The id by which logs, places and deliveries know the test."""
        return self.test_uuid

    @property
    def run(self) -> int:
        """A test has one run."""
        return 1


class HookTestCallback(MessageModel):
    """The body of the example. No task has this `task_uuid`."""

    task_uuid: UUID
    status: Literal["test"] = "test"
    timestamp: Moment
