"""The settings of whoever uses the bucket or makes links to its objects."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from common.settings.schema.base import CommonSettings

BUCKET_NAME = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"


class StoreSettings(CommonSettings):
    """The bucket, the credentials for it, and the form of the links to its objects."""

    aws_access_key_id: str | None = None
    """The id of the access key. Unset, boto3 looks for credentials by itself."""
    aws_secret_access_key: SecretStr | None = None
    """The secret of the access key."""
    aws_secret_access_key_file: Path | None = None
    """A file with that secret, in place of AWS_SECRET_ACCESS_KEY."""
    aws_session_token: SecretStr | None = None
    """The session token that belongs to the keys, if they are temporary."""
    aws_session_token_file: Path | None = None
    """A file with that token, in place of AWS_SESSION_TOKEN."""
    aws_region: str = "us-east-1"
    """The bucket's region."""
    s3_bucket_name: str | None = Field(None, pattern=BUCKET_NAME)
    """The bucket, which must exist."""
    # Each part has a character that is no dot: clients take . and .. out of addresses.
    s3_prefix: str = Field("", pattern=r"^([A-Za-z0-9!_.*'()-]*[A-Za-z0-9!_*'()-][A-Za-z0-9!_.*'()-]*/)*$")
    """The beginning of each object's key, such as stems/."""
    s3_endpoint_url: str | None = Field(None, pattern=r"^https?://[^/\s]+/?$")
    """The store's address. Unset, it is Amazon's."""
    s3_presign_endpoint_url: str | None = Field(None, pattern=r"^https?://[^/\s]+/?$")
    """The store's address in presigned URLs, if clients reach it by another one than the services do."""
    s3_public_domain: str | None = Field(
        None, pattern=r"^(https?://)?[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9/._~%-]*)?$"
    )
    """The domain under which everybody can read the bucket. Unset, links are presigned URLs."""
    s3_addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Whether the bucket's name is part of the host (virtual) or of the path."""
    s3_url_expires_s: Annotated[int, Field(gt=0, le=7 * 24 * 3600)] = 7 * 24 * 3600
    """How long a presigned URL can be used, in seconds. Stores allow 7 days at most."""

    @model_validator(mode="after")
    def _keys_are_a_pair(self) -> Self:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: expected both, or neither for the "
                "credentials that boto3 finds by itself"
            )
        if self.aws_session_token is not None and self.aws_access_key_id is None:
            raise ValueError(
                "AWS_SESSION_TOKEN: expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with it, or no token"
            )
        return self
