"""A result whose links are valid from now on. Whoever imports this loads boto3."""

import logging

from botocore.exceptions import BotoCoreError

from common.settings.schema import ApiSettings
from common.storage.links import LinkMaker, ResultLink, first_expiry_s
from common.tasks.messages import SuccessCallback

log = logging.getLogger(__name__)


class ResultLinks:
    """Says once when it cannot make links, without credentials or with an address that is none."""

    def __init__(self, settings: ApiSettings):
        self._said = ""
        self._maker: LinkMaker | None = None
        try:
            self._maker = LinkMaker(settings)
        except (BotoCoreError, ValueError) as error:
            self._say(error)

    def renewed(self, result: SuccessCallback) -> SuccessCallback:
        """With links of this moment and the time when they expire; as it is where none can be made."""
        links = self._links(result)
        if links is None:
            return result
        urls = {name: link.url for name, link in links.items()}
        stems = {n: stem.model_copy(update={"url": urls[n]}) for n, stem in result.stems.items()}
        named = {name: urls.get(name) for name in ("vocals", "instrumental")}
        expires_at = first_expiry_s(links.values())
        return result.model_copy(update={"stems": stems, "expires_at": expires_at, **named})

    def _links(self, result: SuccessCallback) -> dict[str, ResultLink] | None:
        if self._maker is None:
            return None
        keys = {name: self._maker.key(stem.url) for name, stem in result.stems.items()}
        if None in keys.values():
            return None
        try:
            return {name: self._maker.url(key) for name, key in keys.items()}
        except BotoCoreError as error:  # a role's credentials can be away for a while
            self._say(error)
            return None

    def _say(self, error: Exception) -> None:
        if str(error) != self._said:
            log.warning("results keep the links of their callbacks: %s", error)
        self._said = str(error)
