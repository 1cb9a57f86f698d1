"""Deals with texts that are not valid Unicode: names of files, and arguments in another encoding than UTF-8.

Python keeps a byte that it cannot decode as a lone surrogate, which no request can hold.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from uvr_client.errors import BadRequest

# The api's labels hold no other characters on one line: control characters and lone surrogates are left out.
_UNREADABLE = re.compile("[^\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def readable(name: str) -> str:
    """Returns the name with U+FFFD in place of each byte that is no text, and of each control character."""
    return _UNREADABLE.sub("\ufffd", name)


def check(name: str, value: str) -> None:
    """Raises BadRequest, which names the field, for a text that cannot be written in UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest(400, f"{name}: expected text in UTF-8, not {value!r}") from None


def address(path: str, parameters: Mapping[str, Any]) -> str:
    """Returns `path` with the parameters that are not None. Raises BadRequest as `check` does."""
    given = {name: value for name, value in parameters.items() if value is not None}
    for name, value in given.items():
        check(name, str(value))
    return f"{path}?{urlencode(given)}"
