"""Tells which Content-Type an object gets."""

from pathlib import PurePosixPath

_CONTENT_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".json": "application/json",
}


def content_type(key: str) -> str:
    """Returns the Content-Type for the extension of `key`."""
    return _CONTENT_TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")
