"""Tells which version of a file a host gave, so that a download that broke off can go on (RFC 9110, 13.1.5).

A download goes on only with a strong validator. Then the host sends the rest if its file is still the same,
and the whole file if not.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Self

import requests

from processor.audio import http_answer

_STRONG_ETAG = re.compile(r'"[!#-~]*"')
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
# RFC 9110, 8.8.2.2: a date is a strong validator if the file cannot have changed twice at that date. A minute
# also covers a host whose two clocks differ.
_SETTLED_S = 60.0
_MAX_VALIDATOR_CHARS = 1000


class Answer(Enum):
    """What a host sends when it is asked for the rest of a file."""

    REST = auto()
    WHOLE = auto()
    NEITHER = auto()


@dataclass(frozen=True)
class FileVersion:
    """A file as a host gave it. `validator` is a strong ETag, or the date of the last change."""

    validator: str
    size_bytes: int
    content_type: str

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Return what `to_text` wrote, None for any other text."""
        try:
            fields = json.loads(text)
            return cls(str(fields["validator"]), int(fields["size_bytes"]), str(fields["content_type"]))
        except (ValueError, KeyError, TypeError):
            return None

    def request_headers(self, received_bytes: int) -> dict[str, str]:
        """Return the headers that ask for what follows the first `received_bytes`."""
        return {"Range": f"bytes={received_bytes}-", "If-Range": self.validator}

    def answer(self, response: requests.Response, received_bytes: int) -> Answer:
        """Return what the host answers to `request_headers(received_bytes)`.

        NEITHER: the file must be asked for again, without these headers.
        """
        if response.status_code in (412, 416):
            return Answer.NEITHER
        if response.status_code != 206:
            return Answer.WHOLE
        given = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        rest = (received_bytes, self.size_bytes - 1, self.size_bytes)
        is_rest = given is not None and tuple(map(int, given.groups())) == rest
        return Answer.REST if is_rest and self._is_same(response) else Answer.NEITHER

    def _is_same(self, response: requests.Response) -> bool:
        """Return False for a host that ignores `If-Range` and says that it sends another version."""
        name = "ETag" if self.validator.startswith('"') else "Last-Modified"
        return response.headers.get(name, self.validator).strip() == self.validator


def version_of(response: requests.Response, content_type: str) -> FileVersion | None:
    """Return the version in an answer that carries the whole file.

    None if the host tells no length or no strong validator, or says that it sends no parts of files.
    """
    size_bytes = http_answer.content_length(response)
    headers = response.headers
    if size_bytes is None or headers.get("Accept-Ranges", "").strip().lower() == "none":
        return None
    validator = _validator(headers)
    if validator is None or len(validator) > _MAX_VALIDATOR_CHARS:
        return None
    return FileVersion(validator, size_bytes, content_type)


def _validator(headers: Mapping[str, str]) -> str | None:
    if "ETag" in headers:
        etag = headers["ETag"].strip()
        return etag if _STRONG_ETAG.fullmatch(etag) else None
    changed, now = headers.get("Last-Modified", "").strip(), headers.get("Date", "").strip()
    try:
        is_settled = (
            parsedate_to_datetime(now) - parsedate_to_datetime(changed)
        ).total_seconds() >= _SETTLED_S
    except (ValueError, TypeError, OverflowError):
        return None
    return changed if is_settled else None
