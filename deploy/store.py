"""Prepares the compose store for the uploader: its keys before it starts, its bucket afterwards.

    python -m deploy.store keys DIRECTORY
    python -m deploy.store bucket

`keys` writes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the content of AWS_SECRET_ACCESS_KEY_FILE.
Without them it makes random keys once and keeps them. They go to `identities.json`, which SeaweedFS reads,
and to `credentials`, which boto3 reads as ~/.aws/credentials.
"""

import configparser
import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from common.settings.loading import exit_for_bad_settings, load_or_exit
from common.settings.schema import UploaderSettings
from common.settings.secrets import read_secret

_RETRY_S = 1.0
_GIVE_UP_S = 120.0
_TRIAL_KEY = ".writable"


def write_keys(directory: Path) -> None:
    """Writes the store's keys for SeaweedFS and for boto3. Exits when only one of the two keys is set."""
    access_key, secret_key = _keys(directory / "credentials")
    identity = {
        "name": "uvr",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    _write(directory / "identities.json", json.dumps({"identities": [identity]}))
    _write(
        directory / "credentials",
        f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n",
    )


def _keys(credentials: Path) -> tuple[str, str]:
    given = os.environ.get("AWS_ACCESS_KEY_ID", ""), _secret_key()
    if all(given):
        return given
    if any(given):
        exit_for_bad_settings("set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither")
    if credentials.exists():
        known = configparser.ConfigParser(interpolation=None)
        known.read(credentials)
        return known["default"]["aws_access_key_id"], known["default"]["aws_secret_access_key"]
    return secrets.token_hex(10).upper(), secrets.token_urlsafe(30)


def _secret_key() -> str:
    file = os.environ.get("AWS_SECRET_ACCESS_KEY_FILE")
    if not file:
        return os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    try:
        return read_secret("AWS_SECRET_ACCESS_KEY_FILE", Path(file))
    except ValueError as error:
        exit_for_bad_settings(str(error))


def _write(path: Path, text: str) -> None:
    # The store's user must be able to read the file; only containers with the volume can reach it.
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text)
    temporary.chmod(0o644)
    temporary.rename(path)


def make_bucket(settings: UploaderSettings) -> None:
    """Makes the bucket, and returns once it accepts objects.

    Raises BotoCoreError or ClientError after 120 s without success.
    """
    secret = settings.aws_secret_access_key
    s3 = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=10),
    )
    deadline = time.monotonic() + _GIVE_UP_S
    while True:
        try:
            _make_bucket(s3, settings.s3_bucket_name)
            return
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > deadline:
                raise
            print(f"the store is not ready yet: {error}", flush=True)
            time.sleep(_RETRY_S)


def _make_bucket(s3: Any, bucket: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        s3.create_bucket(Bucket=bucket)
    # A bucket exists some seconds before there is a volume to write to.
    s3.put_object(Bucket=bucket, Key=_TRIAL_KEY, Body=b"")
    s3.delete_object(Bucket=bucket, Key=_TRIAL_KEY)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["keys", directory]:
            write_keys(Path(directory))
        case ["bucket"]:
            settings = load_or_exit(UploaderSettings)
            make_bucket(settings)
            print(f"the bucket {settings.s3_bucket_name} is ready")
        case _:
            print("usage: python -m deploy.store keys DIRECTORY | bucket", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
