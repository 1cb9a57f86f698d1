"""The settings of whoever judges addresses from users."""

from pydantic import field_validator

from common.settings.schema.base import CommonSettings
from common.settings.types import Origins, Ports, checked_origins, split


class AddressSettings(CommonSettings):
    """The rules on addresses that users name."""

    allowed_url_ports: Ports = (80, 443, 8080, 8443)
    """The ports that an address may have, unless its origin is trusted."""
    trusted_url_prefixes: Origins = ()
    """Origins such as http://10.0.0.5:9000 that may be private, or on this host, and have any port."""

    _split = field_validator("allowed_url_ports", "trusted_url_prefixes", mode="before")(split)
    _origins = field_validator("trusted_url_prefixes")(checked_origins)
