"""The claim of a task to an upload. Importing this module does not load boto3."""

from dataclasses import dataclass
from uuid import UUID

from common.storage.upload_record import Upload


@dataclass(frozen=True)
class Claim:
    """A mark by which a task keeps an upload. Its `token` is no other request's.

    `is_first` is False if an earlier request with the same Idempotency-Key has marked the upload for the same
    task, which may be in Kafka.
    """

    upload: Upload
    task_uuid: UUID
    token: bytes
    is_first: bool
