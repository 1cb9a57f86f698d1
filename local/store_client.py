"""Asks the local stack's store whether it is ready, and makes its bucket."""

import functools
import os
from pathlib import Path
from typing import Any

from local.ports import answers
from local.store import REGION, Keys, load_keys

_TRIAL_KEY = ".writable"


def readiness(data_dir: Path, port: int, bucket: str) -> tuple[bool, str]:
    """Returns whether the store accepts objects, and why not. Makes the bucket if it is missing."""
    if not answers(port):  # before the import, which takes 0.2 s
        return False, "no answer yet"
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        url, keys = f"http://127.0.0.1:{port}", load_keys(data_dir / "keys.json")
        create_bucket(url, keys, bucket)
        _try_a_write(url, keys, bucket)
        return True, ""
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        return False, str(error)


def create_bucket(endpoint_url: str, keys: Keys, bucket: str) -> None:
    """Makes the bucket unless it exists. Raises BotoCoreError or ClientError, also while the store starts."""
    from botocore.exceptions import ClientError

    s3 = _kept_client(endpoint_url, keys)
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        s3.create_bucket(Bucket=bucket)


def client(endpoint_url: str, keys: Keys) -> Any:
    """Returns a boto3 client that fails fast, for loops that retry.

    The client reads neither the user's AWS variables and files nor the environment's proxy. They are meant
    for other stores, and a proxy cannot reach this machine's addresses.
    """
    # Importing boto3 takes 0.2 s, and most commands of the local stack ask no store.
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=2,
        read_timeout=10,
        retries={"max_attempts": 0},
        s3={"addressing_style": "path"},
        proxies={},
    )
    return boto3.session.Session(botocore_session=_session()).client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name=REGION,
        config=config,
    )


def _session() -> Any:
    """Returns a session of botocore in which no variable and no file sets anything."""
    from botocore.session import Session

    defaults = {name: (None, None, *rest) for name, (_, _, *rest) in Session.SESSION_VARIABLES.items()}
    no_files = {name: (None, None, os.devnull, None) for name in ("config_file", "credentials_file")}
    return Session(session_vars={**defaults, **no_files, "s3": (None, None, None, None)})


# Who waits for the store asks five times a second, and making a client takes longer than asking.
_kept_client = functools.cache(client)


def _try_a_write(endpoint_url: str, keys: Keys, bucket: str) -> None:
    """Writes an object: after a restart the bucket exists some seconds before its volumes can be written."""
    s3 = _kept_client(endpoint_url, keys)
    s3.put_object(Bucket=bucket, Key=_TRIAL_KEY, Body=b"x")
    s3.delete_object(Bucket=bucket, Key=_TRIAL_KEY)
