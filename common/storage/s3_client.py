"""A client of S3, or of any store that speaks its protocol."""

from typing import Any

import boto3
from botocore.client import Config

from common.settings.schema import StoreSettings


def make_client(
    session: boto3.session.Session,
    settings: StoreSettings,
    endpoint: str | None,
    *,
    connect_timeout: float,
    read_timeout: float,
    tries: int,
    connections: int = 1,
    signs_bodies: bool = True,
) -> Any:
    """Makes a client for the bucket's store. Time-outs are in seconds; `tries` counts the first try, too.

    Without `signs_bodies` no SHA-256 of a body is signed with its request, so neither side computes it.
    """
    secret, token = settings.aws_secret_access_key, settings.aws_session_token
    unsigned = {} if signs_bodies else {"payload_signing_enabled": False}
    return session.client(
        "s3",
        region_name=settings.aws_region,
        endpoint_url=endpoint,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
        config=Config(
            signature_version="s3v4",
            # boto3's newer defaults add checksums, which other stores refuse.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": tries},
            s3={"addressing_style": settings.s3_addressing_style, **unsigned},
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=connections,
        ),
    )
