"""Makes links to the bucket's objects: below a public domain, or presigned, without asking the store."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from uuid import UUID

import boto3

from common.settings.schema import StoreSettings
from common.storage.s3_client import make_client


@dataclass(frozen=True)
class ResultLink:
    """The URL of one object. `expires_at_s` is in seconds since the epoch; None: the link never expires."""

    url: str
    expires_at_s: float | None


def first_expiry_s(links: Iterable[ResultLink]) -> float | None:
    """Returns when the first link expires, in seconds since the epoch; None if none ever does."""
    return min((link.expires_at_s for link in links if link.expires_at_s is not None), default=None)


class LinkMaker:
    """Makes links, for several threads at once. A maker costs some 25 MB and 0.3 s: have one a process."""

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
        """Returns a public link under S3_PUBLIC_DOMAIN, else one presigned for S3_URL_EXPIRES_S.

        A presigned link also ends when the credentials that signed it expire, as those of roles do.
        Raises BotoCoreError.
        """
        if self._settings.s3_public_domain:
            return ResultLink(f"{self._public_base()}{quote(key)}", None)
        expires_s = self._settings.s3_url_expires_s
        expires_at_s = float(int(self._wall_clock()) + expires_s)
        target = {"Bucket": self._bucket, "Key": key}
        url = self._signer.generate_presigned_url("get_object", Params=target, ExpiresIn=expires_s)
        return ResultLink(url, expires_at_s)

    def key(self, url: str) -> str | None:
        """Returns the key of the object behind a presigned `url`; None if it is in another bucket."""
        parts = urlsplit(url)
        path = unquote(parts.path).removeprefix("/")
        if self._bucket_in_host(parts.hostname or "", path):
            return path
        return path.removeprefix(f"{self._bucket}/") if path.startswith(f"{self._bucket}/") else None

    def leads_here(self, url: str) -> bool:
        """Tells whether the settings name the host of `url`. A bucket elsewhere may be another one."""
        if self._settings.s3_public_domain and url.startswith(self._public_base()):
            return True
        endpoints = (self._signer.meta.endpoint_url, self._settings.s3_endpoint_url)
        known = {_place(endpoint) for endpoint in endpoints if endpoint}
        host, port = _place(url)
        return not known.isdisjoint({(host, port), (host.removeprefix(f"{self._bucket}."), port)})

    def prefix(self, url: str, task_uuid: UUID) -> str | None:
        """Returns what precedes the task's id in the key of its stem behind `url`: its S3_PREFIX.

        None if the stem is in another bucket, or may be.
        """
        is_public = self._settings.s3_public_domain and url.startswith(self._public_base())
        key = unquote(url.removeprefix(self._public_base())) if is_public else self.key(url)
        prefix, found, _ = (key or "").partition(f"{task_uuid}/")
        return prefix if found else None

    def _public_base(self) -> str:
        domain = (self._settings.s3_public_domain or "").rstrip("/")
        return f"{domain}/" if "://" in domain else f"https://{domain}/"

    def _bucket_in_host(self, host: str, path: str) -> bool:
        """Tells whether the bucket's name in `host` is the bucket, and not the store's own name."""
        store = host.removeprefix(f"{self._bucket}.")
        if store == host:
            return False
        for endpoint in (self._settings.s3_presign_endpoint_url, self._settings.s3_endpoint_url):
            known = urlsplit(endpoint or "").hostname
            if known in (host, store):
                return known == store
        # The store has moved from there. Only a store with path style may have been named like the bucket.
        return self._settings.s3_addressing_style != "path" or not path.startswith(f"{self._bucket}/")


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
