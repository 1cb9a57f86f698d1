"""An S3 client whose one bucket is in memory: as much of boto3's client as common/storage uses."""

import hashlib
import io
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError


class MemoryS3:
    """`fail(operation, key)` returns the error that a call raises, or None. Thread-safe."""

    def __init__(self, wall_clock: Callable[[], float] = time.time):
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.parts: dict[str, tuple[str, float, dict[int, bytes]]] = {}
        self.fail: Callable[[str, str], Exception | None] = lambda operation, key: None
        self.calls: list[tuple[str, str]] = []
        self.clock, self._lock = wall_clock, threading.RLock()

    @property
    def keys(self) -> list[str]:
        return sorted(self.objects)

    def put_object(
        self, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None, **_: Any
    ) -> dict[str, Any]:
        self._call("put_object", Key)
        if IfNoneMatch == "*" and Key in self.objects:
            raise error("PreconditionFailed", 412)
        self.objects[Key] = bytes(Body), self.clock()
        return {"ETag": _etag(bytes(Body))}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self._call("get_object", Key)
        return {"Body": io.BytesIO(self._found(Key)[0])}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self._call("head_object", Key)
        body, at_s = self._found(Key)
        modified = _date(at_s)
        return {"ContentLength": len(body), "ETag": _etag(body), "LastModified": modified}

    def delete_object(self, Bucket: str, Key: str) -> None:
        self._call("delete_object", Key)
        self.objects.pop(Key, None)

    def create_multipart_upload(self, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        self._call("create_multipart_upload", Key)
        upload_id = uuid4().hex
        self.parts[upload_id] = (Key, self.clock(), {})
        return {"UploadId": upload_id}

    def upload_part(
        self, Bucket: str, Key: str, UploadId: str, PartNumber: int, Body: bytes, **_: Any
    ) -> Any:
        self._call("upload_part", Key)
        self._upload(UploadId)[PartNumber] = bytes(Body)
        return {"ETag": _etag(bytes(Body))}

    def complete_multipart_upload(
        self, Bucket: str, Key: str, UploadId: str, MultipartUpload: dict[str, Any]
    ) -> None:
        self._call("complete_multipart_upload", Key)
        stored, body = self._upload(UploadId), b""
        for part in MultipartUpload["Parts"]:
            if _etag(stored.get(part["PartNumber"], b"")) != part["ETag"]:
                raise error("InvalidPart", 400)
            body += stored[part["PartNumber"]]
        self.objects[Key] = body, self.clock()
        del self.parts[UploadId]

    def abort_multipart_upload(self, Bucket: str, Key: str, UploadId: str) -> None:
        self._call("abort_multipart_upload", Key)
        self._upload(UploadId)
        del self.parts[UploadId]

    def get_paginator(self, operation: str) -> "MemoryS3":
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        self._call("list", Prefix)
        found = [
            {
                "Key": key,
                "Size": len(body),
                "ETag": _etag(body),
                "LastModified": _date(at),
            }
            for key, (body, at) in sorted(self.objects.items())
            if key.startswith(Prefix)
        ]
        uploads = [
            {"Key": key, "UploadId": upload_id, "Initiated": _date(at)}
            for upload_id, (key, at, _) in self.parts.items()
            if key.startswith(Prefix)
        ]
        return [{"Contents": found, "Uploads": uploads}]

    def _call(self, operation: str, key: str) -> None:
        with self._lock:
            self.calls.append((operation, key))
            if failure := self.fail(operation, key):
                raise failure

    def _found(self, key: str) -> tuple[bytes, float]:
        if key not in self.objects:
            raise error("NoSuchKey", 404)
        return self.objects[key]

    def _upload(self, upload_id: str) -> dict[int, bytes]:
        if upload_id not in self.parts:
            raise error("NoSuchUpload", 404)
        return self.parts[upload_id][2]


def error(code: str, status: int) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "an operation")


def _date(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
