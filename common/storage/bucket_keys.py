"""The keys of the bucket's objects. All of them begin with S3_PREFIX.

{task_uuid}/{run}/…                          results: stems and manifest
uploads/{owner}/{upload_id}/…                uploaded songs
stage/{task_uuid}/{place}.{attempt}/{file}   stems that wait for the uploader, with STAGE=s3
cache/{owner}/{digest}.json                  which task has the stems of a song with these choices
batches/{batch_uuid}/callback.json           a batch's callback, and beside it the mark that it was delivered
"""

from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from common.storage.stage_keys import PEAKS_FILE

# What follows S3_PREFIX in the keys of each kind.
ALL_UPLOADS = "uploads/"
STAGE = "stage/"
CACHE = "cache/"
BATCHES = "batches/"


@dataclass(frozen=True)
class RunKeys:
    """Names the objects of one run of a task: their keys are `{prefix}{task_uuid}/{run}/…`."""

    prefix: str
    task_uuid: UUID
    run: int

    def stem(self, name: str, extension: str) -> str:
        """Returns the key of the stem `name`. `extension` comes without its dot."""
        return f"{self.directory}{name}.{extension}"

    @property
    def peaks(self) -> str:
        """The key of the stems' peaks."""
        return f"{self.directory}{PEAKS_FILE}"

    @property
    def manifest(self) -> str:
        return f"{self.directory}manifest.json"

    @property
    def directory(self) -> str:
        """The prefix of all keys of the run."""
        return f"{self.prefix}{self.task_uuid}/{self.run}/"


@dataclass(frozen=True)
class BatchKeys:
    """Names the objects of one batch."""

    prefix: str
    batch_uuid: UUID

    @property
    def callback(self) -> str:
        """The key of the callback's body."""
        return f"{self.prefix}{BATCHES}{self.batch_uuid}/callback.json"

    @property
    def delivered(self) -> str:
        """The key of the mark that the receiver has taken the callback."""
        return f"{self.prefix}{BATCHES}{self.batch_uuid}/delivered.json"


@dataclass(frozen=True)
class UploadKeys:
    """Names the objects of one upload. Nobody but its user reaches it: the user is a part of each key."""

    prefix: str
    user: str
    upload_id: UUID

    @property
    def directory(self) -> str:
        """The prefix of all keys of the upload."""
        return f"{uploads_of(self.prefix, self.user)}{self.upload_id}/"

    @property
    def record(self) -> str:
        """The key of the upload's description, which exists before the song."""
        return f"{self.directory}upload.json"

    @property
    def audio(self) -> str:
        """The key of the song."""
        return f"{self.directory}audio"

    def use(self, task_uuid: UUID) -> str:
        """Returns the key of the mark that this task still needs the song."""
        return f"{self.directory}tasks/{task_uuid}"


def uploads_of(prefix: str, user: str) -> str:
    """Returns the prefix of the keys of all uploads of `user`."""
    return f"{prefix}{ALL_UPLOADS}{owner(user)}/"


def stage_prefix(prefix: str) -> str:
    """Returns the prefix of the keys of all staged stems."""
    return f"{prefix}{STAGE}"


def cached(prefix: str, user: str, digest: str) -> str:
    """Returns the key of a user's entry in the cache of results. `digest` is of song, choices and models."""
    return f"{prefix}{CACHE}{owner(user)}/{digest}.json"


def owner(user: str) -> str:
    """Returns a name for `user` that can be part of a key whatever the user is called."""
    return sha256(user.encode()).hexdigest()[:32]
