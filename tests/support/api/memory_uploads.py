"""Uploads of an api whose bucket is in memory."""

from typing import Any

from api.uploads.gate import UploadGate
from api.uploads.store import UploadStore
from common.settings.schema import ApiSettings
from tests.support.memory_s3 import MemoryS3

BUCKET = {
    "s3_bucket_name": "in-memory",
    # Nothing listens there, and no name server is asked: what reads the bucket by itself fails at once.
    "s3_endpoint_url": "http://127.0.0.1:9",
    "aws_access_key_id": "me",
    "aws_secret_access_key": "secret",
}


def memory_gate(s3: MemoryS3, **settings: Any) -> UploadGate:
    """Returns the way to `s3`. Its settings are `BUCKET` and the given ones."""
    return UploadGate(ApiSettings(**BUCKET, **settings), lambda own: UploadStore(own, s3.clock, client=s3))
