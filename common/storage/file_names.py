"""Names files for people: the label or the song's file name, in Content-Disposition and in archives."""

import re
import unicodedata
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

# With the stem's name and extension, a file's name stays below the 255 bytes of most file systems.
_MAX_BYTES = 150
# Windows allows none of these in a name; slashes would lead into directories.
_RESERVED = re.compile(r'[/\\:*?"<>|]')
_SPACES = re.compile(r"\s+")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")
# Emoji are joined by U+200D, which is a control character for everything else.
_JOINER = "\u200d"
_UNNAMED = "song"
# RFC 8187, attr-char; `quote` leaves letters, digits and -._~ as they are.
_ATTR_CHARS = "!#$&+^`|"


class Named(Protocol):
    """A task's status or result. `file_name` is that of an uploaded song, and `audio` the song's address."""

    @property
    def label(self) -> str | None: ...

    @property
    def file_name(self) -> str | None: ...

    @property
    def audio(self) -> str | None: ...


def song_name(of: Named) -> str:
    """Returns the beginning of a file's name: the label, or the song's file name without its extension.

    An uploaded song has a file name; else the last part of the song's address counts.
    """
    given = of.label or _of_file(of.file_name or "") or _of_address(of.audio or "")
    return _clean(given) or _UNNAMED


def stem_file_name(of: Named, stem: str, extension: str) -> str:
    """Returns a name such as `Artist - Title (vocals).flac`. `extension` comes without its dot."""
    return f"{song_name(of)} ({stem}).{extension}"


def attachment(name: str) -> str:
    """Returns the Content-Disposition by which browsers save a file as `name`.

    The header is ASCII after RFC 6266, with the full name after RFC 8187.
    """
    return f"attachment; filename=\"{_plain(name)}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"


def _plain(name: str) -> str:
    """Returns an ASCII name for programs such as curl, which read no other."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    # Once more: NFKD makes reserved characters of full-width ones, which many titles have in their places.
    plain = _SPACES.sub(" ", _RESERVED.sub("_", ascii_only.replace("%", "_"))).strip()
    if name.isascii():
        return plain
    # Of a title in other letters nothing may be left but the stem's name and the extension.
    title = re.match(r".*?(?= ?\([^()]*\)\.|\.[^.]*$|$)", plain)
    if title is None or re.search("[A-Za-z0-9]", title[0]):
        return plain.lstrip(". ")  # NFKD makes dots of an ellipsis, and they would hide the file
    rest = plain[title.end() :]
    return _UNNAMED + rest if rest.startswith((".", " ")) else f"{_UNNAMED} {rest}"


def _of_address(address: str) -> str:
    """Returns the name of the file that the address leads to, without its extension; empty for an upload."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return _of_file(unquote(parts.path.rpartition("/")[2])) if parts.netloc else ""


def _of_file(name: str) -> str:
    return _EXTENSION.sub("", name)


def _clean(text: str) -> str:
    """Returns a text that can begin a file's name everywhere. It can be empty."""
    visible = "".join(map(_shown, unicodedata.normalize("NFC", text)))
    name = _SPACES.sub(" ", _RESERVED.sub("_", visible)).strip(" .")
    return name.encode()[:_MAX_BYTES].decode(errors="ignore").rstrip(f" .{_JOINER}\ufe0f")


def _shown(char: str) -> str:
    """Returns the character, a space in place of a control character, or nothing for an invisible one."""
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    # Cf: marks of the writing direction, among others. Cs: halves of surrogate pairs.
    return "" if category in ("Cf", "Cs") and char != _JOINER else char
