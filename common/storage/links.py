"""Links to the bucket's objects: public below a domain, or presigned, for which nobody asks the store."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import boto3

from common.settings.schema import StoreSettings
from common.storage.s3_client import make_client


@dataclass(frozen=True)
class ResultLink:
    """Where a client gets an object; `expires_at_s` is since the epoch, None for ever."""

    url: str
    expires_at_s: float | None


def first_expiry_s(links: Iterable[ResultLink]) -> float | None:
    """When the first of them expires, since the epoch; None where all are for ever."""
    return min((link.expires_at_s for link in links if link.expires_at_s is not None), default=None)


class LinkMaker:
    """Several threads may use it at once. It costs some 25 MB and 0.3 s: make one a process."""

    def __init__(
        self,
        settings: StoreSettings,
        session: boto3.session.Session | None = None,
        wall_clock: Callable[[], float] = time.time,
    ):
        self._settings, self._wall_clock = settings, wall_clock
        self._bucket = settings.s3_bucket_name
        outside = settings.s3_presign_endpoint_url or settings.s3_endpoint_url
        self._signer: Any = make_client(
            session or boto3.session.Session(), settings, outside, connect_timeout=5, read_timeout=10, tries=1
        )

    def url(self, key: str) -> ResultLink:
        """Public under S3_PUBLIC_DOMAIN, else presigned for S3_URL_EXPIRES_S. Raises BotoCoreError.

        Credentials that expire by themselves (roles) end a presigned link with them.
        """
        if self._settings.s3_public_domain:
            domain = self._settings.s3_public_domain.rstrip("/")
            base = domain if "://" in domain else f"https://{domain}"
            return ResultLink(f"{base}/{quote(key)}", None)
        expires_s = self._settings.s3_url_expires_s
        expires_at_s = float(int(self._wall_clock()) + expires_s)
        target = {"Bucket": self._bucket, "Key": key}
        url = self._signer.generate_presigned_url("get_object", Params=target, ExpiresIn=expires_s)
        return ResultLink(url, expires_at_s)

    def key(self, url: str) -> str | None:
        """The key of the object that a presigned `url` leads to; None when it is in another bucket."""
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix("/")
        if (parts.hostname or "").startswith(f"{self._bucket}."):
            return path
        return path.removeprefix(f"{self._bucket}/") if path.startswith(f"{self._bucket}/") else None
