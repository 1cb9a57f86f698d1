"""The record `upload.json` of an uploaded song. Importing this module does not load boto3."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from common.storage.bucket_keys import UploadKeys

SHA256 = r"^[0-9a-f]{64}$"


class Upload(BaseModel):
    """The record of an upload. Points in time are in seconds since the epoch.

    `bytes` is the size of the song, `sha256` its checksum if it is known. From `expires_at` on no new task
    can use the song. `multipart_id` is the store's id of an upload in parts.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    upload_id: UUID
    user: str
    file_name: str
    bytes: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, Field(pattern=SHA256)] | None = None
    created_at: float
    expires_at: float
    multipart_id: str | None = None

    def keys(self, prefix: str) -> UploadKeys:
        """Returns the keys of the upload's objects. `prefix` is S3_PREFIX."""
        return UploadKeys(prefix, self.user, self.upload_id)
