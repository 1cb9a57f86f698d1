"""Describes a text that came in place of a song: a web page, an error message, a playlist."""

import codecs
import json
import re

_LOOKED_AT = 16_384
_BLANK = " \t\r\n\f\v"
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f\v\x1b") | {0x7F}
_HTML = re.compile(
    r"<(!doctype\s+html|html|head|body|title|meta|script|style|center|div|h1|p|table|iframe|form|a)\b", re.I
)
# The first element of an XML text, by its name in lower case.
_XML = {
    "svg": "a picture (image/svg+xml)",
    "rss": "a feed (application/rss+xml), not one of its songs",
    "feed": "a feed (application/atom+xml), not one of its songs",
    "playlist": "an XSPF playlist (application/xspf+xml), not one of its songs",
    "asx": "an ASX playlist (video/x-ms-asf), not one of its songs",
    "smil": "a SMIL playlist (application/smil+xml), not one of its songs",
    "mpd": "a DASH playlist (application/dash+xml), not one of its songs",
    "smoothstreamingmedia": "a Smooth Streaming playlist, not one of its songs",
}
_S3_CODE = re.compile(r"<code>\s*([a-z0-9.]{1,64})\s*</code>", re.I)
_PLAYLISTS = (
    (re.compile(r"#EXTM3U(?=[\s\S]*#EXT-X-)"), "an HLS playlist (m3u8, application/vnd.apple.mpegurl)"),
    (re.compile(r"#EXTM3U|#EXTINF:"), "an M3U playlist (m3u, audio/x-mpegurl)"),
    (re.compile(r"\[playlist\]", re.I), "a PLS playlist (pls, audio/x-scpls)"),
    (re.compile(r"\[reference\]", re.I), "an ASX playlist (asx, video/x-ms-asf)"),
    (re.compile(r"ffconcat version"), "a playlist of FFmpeg (ffconcat)"),
    (re.compile(r"v=0\s+o="), "a session description (application/sdp)"),
)
_ADDRESS = re.compile(r"[a-z]{2,8}://\S+", re.I)
_CUE_LINES = 40


def describe(head: bytes) -> str | None:
    """Describe the text that begins with `head`, with its media type; return None where it is no text."""
    text = _decoded(head[:_LOOKED_AT])
    if text is None:
        return None
    text = text.strip("\ufeff" + _BLANK)
    if not text:
        return "an empty text (nothing but blanks)"
    for form, playlist in _PLAYLISTS:
        if form.match(text):
            return f"{playlist}, not one of its songs"
    if name := _list_of_files(text.splitlines()):
        return f"{name}, not one of its songs"
    if text.startswith("<"):
        return _marked_up(text)
    if text[0] in '{["' and (found := _json(text, len(head) <= _LOOKED_AT)):
        return found
    return "a text (text/plain)"


def _list_of_files(lines: list[str]) -> str | None:
    if any(line.lstrip().upper().startswith('FILE "') for line in lines[:_CUE_LINES]):
        return "a cue sheet (cue)"
    entries = [line.strip() for line in lines[:-1] or lines if line.strip() and not line.startswith("#")]
    if entries and all(_ADDRESS.fullmatch(entry) for entry in entries):
        return "a list of addresses (a playlist, m3u or ram)"
    return None


def _decoded(data: bytes) -> str | None:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark):
            text = data.decode(encoding, errors="replace")
            return text if _is_printable(text) else None
    if not _CONTROLS.isdisjoint(data):
        # A web page is known by its first element, even where later bytes are no text.
        page = data.lstrip(codecs.BOM_UTF8 + _BLANK.encode())[:512].decode("latin-1")
        return page if re.match(r"<(!doctype\s+html|html)\b", page, re.I) else None
    return data.decode("utf-8", errors="replace")


def _is_printable(text: str) -> bool:
    plain = sum(" " <= sign <= "~" or sign in _BLANK for sign in text)
    return plain > 0.8 * len(text)


def _marked_up(text: str) -> str:
    body = re.sub(r"<!--.*?-->|<\?.*?\?>", "", text, flags=re.S)
    root = re.match(
        r"\s*(?:<!doctype\s+(?!html\b)[^>\[]*(?:\[[^\]]*\])?[^>]*>\s*)?<(?:\w+:)?(\w+)", body, re.I
    )
    name = root[1].lower() if root else ""
    if name in _XML:
        return _XML[name]
    if name in ("error", "errorresponse", "errors"):
        code = _S3_CODE.search(body)
        detail = f" with the code {code[1]}" if code else ""
        return f"an error message in XML (application/xml){detail}: the address may have expired or be wrong"
    if _HTML.search(body[:4096]):
        return "a web page (text/html): the address leads to a page, perhaps to sign in, and not to the song"
    return "an XML text (application/xml)"


def _json(text: str, whole: bool) -> str | None:
    try:
        value = json.loads(text) if whole else None
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and any(
        word in key.lower() for key in value for word in ("error", "message", "detail", "code", "status")
    ):
        return "an error message in JSON (application/json)"
    return "a JSON text (application/json)"
