"""Prepares the compose store: its keys before it starts, its bucket afterwards.

    python -m deploy.store keys DIRECTORY API_DIRECTORY PROCESSOR_DIRECTORY
    python -m deploy.store bucket

`keys` writes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the content of AWS_SECRET_ACCESS_KEY_FILE.
Without them it makes random keys once and keeps them. They go to `identities.json`, which SeaweedFS reads,
and to `credentials`, which boto3 reads as ~/.aws/credentials. The api and the processors have random keys of
their own, each in a directory of its own, which can do less (S3_BUCKET_NAME and S3_PREFIX name where).

Both commands run at each `docker compose up`. So what takes long to import is imported where it is needed.
"""

import configparser
import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from common.settings.secrets import read_secret
from common.storage.identities import UPLOADER_ACTIONS, api_actions, processor_actions

if TYPE_CHECKING:
    from common.settings.schema import UploaderSettings

_RETRY_S = 1.0
_GIVE_UP_S = 120.0
_TRIAL_KEY = ".writable"


def write_keys(directory: Path, api_directory: Path, processor_directory: Path) -> None:
    """Writes each service's keys for SeaweedFS and for boto3. Exits when only one of the two keys is set.

    `directory` is the uploader's, with the file for SeaweedFS.
    """
    target = os.environ.get("S3_BUCKET_NAME", ""), os.environ.get("S3_PREFIX", "")
    services = [
        ("uvr", directory, _given_keys() or _kept_keys(directory / "credentials"), UPLOADER_ACTIONS),
        ("api", api_directory, _kept_keys(api_directory / "credentials"), api_actions(*target)),
        (
            "processor",
            processor_directory,
            _kept_keys(processor_directory / "credentials"),
            processor_actions(*target),
        ),
    ]
    identities = [
        {"name": name, "credentials": [{"accessKey": access, "secretKey": secret}], "actions": actions}
        for name, _, (access, secret), actions in services
    ]
    _write(directory / "identities.json", json.dumps({"identities": identities}))
    for _, own_directory, (access, secret), _ in services:
        _write(
            own_directory / "credentials",
            f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n",
        )


def _given_keys() -> tuple[str, str] | None:
    given = os.environ.get("AWS_ACCESS_KEY_ID", ""), _secret_key()
    if any(given) and not all(given):
        _exit_for_bad_settings("set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither")
    return given if all(given) else None


def _kept_keys(credentials: Path) -> tuple[str, str]:
    """Returns the keys of an earlier call, new random ones at the first."""
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
        _exit_for_bad_settings(str(error))


def _exit_for_bad_settings(reason: str) -> NoReturn:
    from common.settings.loading import exit_for_bad_settings

    exit_for_bad_settings(reason)


def _write(path: Path, text: str) -> None:
    # The store's user must be able to read the file; only containers with the volume can reach it.
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text)
    temporary.chmod(0o644)
    temporary.rename(path)


def make_bucket(settings: "UploaderSettings") -> None:
    """Makes the bucket, and returns once it accepts objects.

    Raises BotoCoreError or ClientError after 120 s without success.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

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
    from botocore.exceptions import ClientError

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
        case ["keys", *directories] if len(directories) == 3:
            write_keys(*map(Path, directories))
        case ["bucket"]:
            from common.settings.loading import load_or_exit
            from common.settings.schema import UploaderSettings

            settings = load_or_exit(UploaderSettings)
            make_bucket(settings)
            print(f"the bucket {settings.s3_bucket_name} is ready")
        case _:
            print(
                "usage: python -m deploy.store keys DIRECTORY API_DIRECTORY PROCESSOR_DIRECTORY | bucket",
                file=sys.stderr,
            )
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
