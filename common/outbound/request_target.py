"""Makes the target of a request line, and of a redirect, from addresses as they were given.

`requests`, urllib3 and `urljoin` rewrite addresses into equal ones: `%7e` becomes `~`, `/a/../b` becomes
`/b`, and an empty query is dropped. A host that signs its URLs' bytes refuses the rewritten address.
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

    Every visible ASCII character stays as it is, even a percent sign without two digits. A space becomes
    `%20`, since it would end the target. Any other character becomes its UTF-8 bytes as `%XX`.
    The fragment is left out, and an empty path becomes `/`.
    """
    parts = _parts(url)
    target = (parts["path"] or "/") + (parts["query"] or "")
    return _NOT_ON_THE_WIRE.sub(lambda found: quote(found[0], safe=""), target)


def redirect_url(base: str, location: str) -> str:
    """Returns the address that the `Location` header of an answer to `base` names.

    A whole address, and a path from the root, are kept as they were given. A relative path is resolved as in
    RFC 3986, 5.2, since its `.` and `..` mean nothing without `base`.

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
    """Reads a header as UTF-8; `requests` gives it as latin-1. Escapes the bytes that are not UTF-8."""
    raw = header.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)


def _without_steps(path: str) -> str:
    """Resolves `.` and `..` in an absolute path. Empty segments stay."""
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
