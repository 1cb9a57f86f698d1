"""Gives results new links. Importing this module loads boto3."""

import logging
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError

from common.settings.schema import ApiSettings
from common.storage.links import LinkMaker, ResultLink, first_expiry_s
from common.tasks.messages import SuccessCallback

log = logging.getLogger(__name__)


class ResultLinks:
    """Makes the links of results. Where it cannot, such as without credentials, it logs the reason once."""

    def __init__(self, settings: ApiSettings):
        self._logged = ""
        self._maker: LinkMaker | None = None
        try:
            self._maker = LinkMaker(settings)
        except (BotoCoreError, ValueError) as error:
            self._log_once(error)

    def renewed(self, result: SuccessCallback) -> SuccessCallback:
        """Return the result with new links and their expiry, or unchanged where no links can be made."""
        links = self._links(result)
        if links is None:
            return result
        urls = {name: link.url for name, link in links.items()}
        stems = {n: stem.model_copy(update={"url": urls[n]}) for n, stem in result.stems.items()}
        named = {name: urls.get(name) for name in ("vocals", "instrumental")}
        expires_at = first_expiry_s(links.values())
        return result.model_copy(update={"stems": stems, "expires_at": expires_at, **named})

    def prefix(self, result: SuccessCallback) -> str | None:
        """Return the S3_PREFIX under which the stems are; None where that cannot be told."""
        if self._maker is None or not result.stems:
            return None
        return self._maker.prefix(next(iter(result.stems.values())).url, result.task_uuid)

    def origin(self) -> str | None:
        """Return scheme, host and port of the links; None where no links can be made."""
        if self._maker is None:
            return None
        try:
            link = urlsplit(self._maker.url("any").url)
        except BotoCoreError as error:
            self._log_once(error)
            return None
        return f"{link.scheme}://{link.netloc}"

    def _links(self, result: SuccessCallback) -> dict[str, ResultLink] | None:
        if self._maker is None:
            return None
        found = {name: self._maker.key(stem.url) for name, stem in result.stems.items()}
        keys = {name: key for name, key in found.items() if key is not None}
        if len(keys) < len(found):
            return None
        try:
            return {name: self._maker.url(key) for name, key in keys.items()}
        except BotoCoreError as error:  # the credentials of a role can be unavailable for a while
            self._log_once(error)
            return None

    def _log_once(self, error: Exception) -> None:
        if str(error) != self._logged:
            log.warning("results keep the links of their callbacks: %s", error)
        self._logged = str(error)
