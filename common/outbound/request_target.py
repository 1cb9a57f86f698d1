"""Makes the target of a request line, and of a redirect, from addresses as they were given.

`requests`, urllib3 and `urljoin` rewrite addresses into equal ones: `%7e` becomes `~`, `/a/../b` becomes
`/b`, an empty query goes. To a host that signs the bytes it is asked for, that is another address.
"""

import re
from urllib.parse import quote

from common.outbound.addresses import check_characters

_ADDRESS = re.compile(r"(?P<origin>(?P<scheme>[^:/?#]+:)//[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?")
_AFTER_PATH = re.compile(r"[?#].*", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_NOT_ON_THE_WIRE = re.compile(r"[^\x21-\x7e]")


def request_target(url: str) -> str:
    """Returns the path and query of an address that `parse_origin` takes, for a request line.

    Every visible ASCII character stays as it is, a percent sign without two digits too. A space, which would
    end the request line's second word, becomes `%20`; any other character becomes its UTF-8 bytes in `%XX`.
    The fragment is left out, and an empty path is `/`.
    """
    parts = _parts(url)
    target = (parts["path"] or "/") + (parts["query"] or "")
    return _NOT_ON_THE_WIRE.sub(lambda found: quote(found[0], safe=""), target)


def redirect_url(base: str, location: str) -> str:
    """Returns the address that the `Location` header of an answer to `base` names.

    An address, and a path from the root, are kept as they were given. A path that is relative to `base` is
    resolved after RFC 3986, 5.2: its steps up and down mean nothing until they are taken.

    Raises PermanentError (address_invalid).
    """
    text = _decoded(location)
    check_characters(text)
    parts = _parts(base)
    if _SCHEME.match(text):
        return text
    if text.startswith("//"):
        return parts["scheme"] + text
    path = _AFTER_PATH.sub("", text)
    rest = text[len(path) :]
    if path.startswith("/"):
        return parts["origin"] + text
    if path:
        directory = parts["path"].rpartition("/")[0]
        return parts["origin"] + _without_steps(f"{directory}/{path}") + rest
    own_query = "" if rest.startswith("?") else parts["query"] or ""
    return parts["origin"] + parts["path"] + own_query + rest


def _parts(url: str) -> re.Match[str]:
    parts = _ADDRESS.match(url)
    if parts is None:
        raise ValueError("not an address that parse_origin takes")
    return parts


def _decoded(header: str) -> str:
    """Headers reach us as latin-1. Servers send UTF-8; bytes that are none are escaped one by one."""
    raw = header.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)


def _without_steps(path: str) -> str:
    """Takes `.` and `..` out of an absolute path. Empty segments stay."""
    *before, last = path.split("/")[1:]
    kept: list[str] = []
    for segment in (*before, last):
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
    if last in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
