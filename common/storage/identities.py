"""Says what each service may do in a SeaweedFS of our own, so that its keys can do no more than it needs.

docs/production.md has the same rules as IAM policies, for a bucket in another store.
"""

from common.storage.bucket_keys import ALL_UPLOADS, CACHE, STAGE

# An uploader also makes and checks the bucket at the start.
UPLOADER_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]


def api_actions(bucket: str, prefix: str) -> list[str]:
    """Returns the api's actions: read and list everything, write and remove uploads alone.

    `prefix` is S3_PREFIX. Write covers PUT, DELETE and multipart uploads.
    """
    return [f"Read:{bucket}", f"List:{bucket}", f"Write:{bucket}/{prefix}{ALL_UPLOADS}*"]


def processor_actions(bucket: str, prefix: str) -> list[str]:
    """Returns a processor's actions: read uploads and cache entries; read, write and list the stage.

    An exploit of the decoder could read a processor's keys: no result can be read or changed with them.
    `prefix` is S3_PREFIX.
    """
    root = f"{bucket}/{prefix}"
    return [
        *(f"Read:{root}{below}*" for below in (ALL_UPLOADS, STAGE, CACHE)),
        *(f"{action}:{root}{STAGE}*" for action in ("Write", "List")),
    ]
