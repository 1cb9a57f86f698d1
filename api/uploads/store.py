"""The bucket's side of uploads. Importing this module loads boto3; its calls block."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import boto3
from botocore.exceptions import ClientError

from api.uploads import refusals
from api.uploads.models import (
    BegunUpload,
    NewUpload,
    PartEtag,
    UploadPart,
    UploadState,
    UploadStatus,
)
from api.uploads.sizes import Usage, part_sizes
from common.settings.schema import ApiSettings
from common.storage.bucket import Bucket
from common.storage.bucket_keys import uploads_of
from common.storage.s3_client import make_client
from common.storage.storage_errors import code_of
from common.storage.upload_record import Upload
from common.storage.uploads import Uploads

log = logging.getLogger(__name__)


class UploadStore:
    """The uploads in the settings' bucket. Thread-safe.

    Every method raises ProblemError for what is wrong with the request, and the client's errors.
    """

    def __init__(
        self, settings: ApiSettings, wall_clock: Callable[[], float] = time.time, client: Any = None
    ):
        """`wall_clock` gives seconds since the epoch. `client` takes the place of boto3's.

        Raises ProblemError without a bucket or without keys.
        """
        if settings.s3_bucket_name is None:
            raise refusals.off("S3_BUCKET_NAME is not set")
        session = boto3.session.Session()
        if settings.aws_access_key_id is None and session.get_credentials() is None:
            raise refusals.off("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
        self._settings, self._wall_clock = settings, wall_clock
        endpoint = settings.s3_endpoint_url
        outside = settings.s3_presign_endpoint_url or endpoint
        times: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 60, "tries": 3}
        # The song's own checksum is in its record, and the processor compares it.
        quick: dict[str, Any] = {"signs_bodies": False, "connections": 16}
        client = client or make_client(session, settings, endpoint, **times, **quick)
        self._signer: Any = make_client(session, settings, outside, **times)
        self.bucket = Bucket(client, settings.s3_bucket_name)
        self.uploads = Uploads(self.bucket, settings.s3_prefix)

    def begin(self, user: str, wanted: NewUpload) -> BegunUpload:
        """Makes an upload, and the presigned URLs for its bytes."""
        self.check_room(user, wanted.bytes)
        sizes = part_sizes(wanted.bytes)
        upload = self.new(user, uuid4(), wanted.filename, wanted.bytes, wanted.sha256)
        key = upload.keys(self.uploads.prefix).audio
        if sizes:
            upload = upload.model_copy(update={"multipart_id": self.begin_parts(key)})
        self.uploads.save(upload)
        status = self._status(upload, UploadState.INCOMPLETE)
        # To the second, as the addresses' own.
        url_expires_at = float(int(self._wall_clock()) + self._urls_expire_s)
        fields = status.model_dump() | {"url_expires_at": url_expires_at}
        if not sizes:
            url = self._signed("put_object", key, upload.bytes)
            return BegunUpload(**fields, url=url, headers={"Content-Length": str(upload.bytes)})
        parts = []
        for number, length in enumerate(sizes, 1):
            url = self._signed("upload_part", key, length, UploadId=upload.multipart_id, PartNumber=number)
            parts.append(UploadPart(number=number, url=url, bytes=length))
        return BegunUpload(**fields, parts=parts)

    def complete(self, user: str, upload_id: UUID, parts: Sequence[PartEtag]) -> UploadStatus:
        """Makes one song of the parts. An upload that is complete stays so."""
        upload = self._find(user, upload_id)
        if self.uploads.song(upload) is None and upload.multipart_id is not None:
            self._join(upload, parts)
        self._check_song(upload)
        return self._status(upload, UploadState.COMPLETE)

    def status(self, user: str, upload_id: UUID) -> UploadStatus:
        upload = self._find(user, upload_id)
        if self._wall_clock() >= upload.expires_at:
            state = UploadState.EXPIRED
        else:
            song = self.uploads.song(upload)
            is_whole = song is not None and song.size_bytes == upload.bytes
            state = UploadState.COMPLETE if is_whole else UploadState.INCOMPLETE
        return self._status(upload, state, self.uploads.users(upload))

    def remove(self, user: str, upload_id: UUID) -> None:
        """Removes an upload that no task needs."""
        upload = self._find(user, upload_id)
        if not self.uploads.remove_unless_used(upload.keys(self.uploads.prefix)):
            raise refusals.in_use(self.uploads.users(upload))

    def claim(self, user: str, upload_id: UUID, task_uuid: UUID) -> Upload:
        """Marks the upload as used by a task that is to be queued next, and returns it."""
        upload = self._find(user, upload_id)
        if self._wall_clock() >= upload.expires_at:
            raise refusals.expired()
        self._check_song(upload)
        self.uploads.mark(upload, task_uuid)
        # Whoever removes an upload removes the record first, and looks for marks again afterwards.
        if self.uploads.find(user, upload_id) is None:
            self.uploads.unmark(upload.keys(self.uploads.prefix), task_uuid)
            raise refusals.unknown()
        return upload

    def take_back(self, upload: Upload, task_uuid: UUID) -> None:
        """Removes the mark of a task that was not queued."""
        self.uploads.unmark(upload.keys(self.uploads.prefix), task_uuid)

    def check_room(self, user: str, more_bytes: int) -> None:
        """Raises ProblemError 413 or 429 if the user may not upload so much."""
        self._check_size(more_bytes)
        most = self._settings.max_upload_bytes_per_user
        if not most:
            return
        if more_bytes > most:  # no deletion would help
            raise refusals.too_large(most, "MAX_UPLOAD_BYTES_PER_USER")
        usage = Usage()
        for found in self.bucket.objects(uploads_of(self.uploads.prefix, user)):
            usage.add(found.key, found.size_bytes)
        used = usage.stored_bytes + sum(self._announced_bytes(key) for key in usage.unfinished)
        if used + more_bytes > most or usage.has_too_many_unfinished:
            what = f"Your uploads hold {used} bytes, and {most} are allowed (MAX_UPLOAD_BYTES_PER_USER)"
            if usage.has_too_many_unfinished:
                what = f"{len(usage.unfinished)} of your uploads are incomplete"
            raise refusals.no_room(what)

    def new(self, user: str, upload_id: UUID, name: str, size_bytes: int, sha256: str | None) -> Upload:
        """Returns the record of an upload that begins now. It is not written yet."""
        now_s = self._wall_clock()
        return Upload(
            upload_id=upload_id,
            user=user,
            file_name=name,
            bytes=size_bytes,
            sha256=sha256,
            created_at=now_s,
            expires_at=now_s + self._settings.upload_retention_s,
        )

    def begin_parts(self, key: str) -> str:
        """Returns the store's id of a new upload in parts."""
        answer = self.bucket.client.create_multipart_upload(Bucket=self.bucket.name, Key=key)
        upload_id: str = answer["UploadId"]
        return upload_id

    def put_part(self, key: str, multipart_id: str, number: int, body: bytearray) -> str:
        """Stores one part, and returns its ETag."""
        target = {"Bucket": self.bucket.name, "Key": key, "UploadId": multipart_id}
        etag: str = self.bucket.client.upload_part(**target, PartNumber=number, Body=body)["ETag"]
        return etag

    def join_parts(self, key: str, multipart_id: str, parts: Sequence[PartEtag]) -> None:
        named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        target = {"Bucket": self.bucket.name, "Key": key, "UploadId": multipart_id}
        self.bucket.client.complete_multipart_upload(**target, MultipartUpload={"Parts": named})

    def discard(self, user: str, upload_id: UUID, multipart_id: str | None) -> None:
        """Removes everything of an upload whose task was not queued."""
        keys = self.uploads.keys(user, upload_id)
        if multipart_id is not None:
            self.bucket.multipart.abort(keys.audio, multipart_id)
        marks = [found.key for found in self.bucket.objects(f"{keys.directory}tasks/")]
        self.bucket.remove([keys.record, keys.audio, *marks])

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes < 1:
            raise refusals.empty("The song")
        if size_bytes > self._settings.max_audio_bytes:
            raise refusals.too_large(self._settings.max_audio_bytes)

    def _announced_bytes(self, record_key: str) -> int:
        upload = self.uploads.read(record_key)
        return upload.bytes if upload else 0

    def _find(self, user: str, upload_id: UUID) -> Upload:
        upload = self.uploads.find(user, upload_id)
        if upload is None:
            raise refusals.unknown()
        return upload

    def _check_song(self, upload: Upload) -> None:
        song = self.uploads.song(upload)
        if song is None:
            raise refusals.incomplete()
        if song.size_bytes != upload.bytes:
            raise refusals.mismatch(f"{upload.bytes} bytes were announced, {song.size_bytes} came")

    def _join(self, upload: Upload, parts: Sequence[PartEtag]) -> None:
        named, count = sorted(parts, key=lambda part: part.number), len(part_sizes(upload.bytes))
        if not count:  # the song of a form whose api was killed
            raise refusals.incomplete()
        numbers = [part.number for part in named]
        # The store would make a song of some parts, too, and forget the others.
        if numbers != [*range(1, count + 1)]:
            raise refusals.parts_differ(numbers, count)
        try:
            key = upload.keys(self.uploads.prefix).audio
            self.join_parts(key, upload.multipart_id or "", named)
        except ClientError as error:
            if code_of(error) in ("InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"):
                raise refusals.mismatch("the store has not got these parts, with these ETags") from None
            if code_of(error) != "NoSuchUpload":  # completed by another request this very moment
                raise

    def _status(self, upload: Upload, state: UploadState, tasks: Sequence[UUID] = ()) -> UploadStatus:
        return UploadStatus(
            upload_id=upload.upload_id,
            audio=f"upload:{upload.upload_id}",
            state=state,
            filename=upload.file_name,
            bytes=upload.bytes,
            sha256=upload.sha256,
            created_at=upload.created_at,
            expires_at=upload.expires_at,
            tasks=list(tasks),
        )

    def _signed(self, operation: str, key: str, size_bytes: int, **more: object) -> str:
        """Returns a presigned URL under which the store takes exactly `size_bytes`."""
        target = {"Bucket": self.bucket.name, "Key": key, "ContentLength": size_bytes, **more}
        url: str = self._signer.generate_presigned_url(
            operation, Params=target, ExpiresIn=self._urls_expire_s
        )
        return url

    @property
    def _urls_expire_s(self) -> int:
        return min(self._settings.upload_retention_s, self._settings.s3_url_expires_s)
