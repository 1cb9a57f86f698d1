"""Sends songs as files: in a form, in a form that breaks off, and by a presigned URL."""

import hashlib
import http.client
import json
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_BOUNDARY = "soak-boundary"
_FILE_NAME = "song.wav"


def form_of(song: bytes, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return a form with the song and a submission's fields, and its content type."""
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{_text(value)}'.encode()
        for name, value in fields.items()
    ]
    about = f'Content-Disposition: form-data; name="audio"; filename="{_FILE_NAME}"\r\n\r\n'
    parts.append(about.encode() + song)
    begin = f"--{_BOUNDARY}\r\n".encode()
    body = b"".join(begin + part + b"\r\n" for part in parts) + f"--{_BOUNDARY}--\r\n".encode()
    return body, f"multipart/form-data; boundary={_BOUNDARY}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def break_off(url: str, headers: Mapping[str, str], body: bytes, timeout_s: float, sent_bytes: int) -> None:
    """Send so much of the body, and close the connection. Raises OSError and HTTPException."""
    address = urlsplit(url)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout_s)
    try:
        connection.putrequest("POST", address.path)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body[:sent_bytes])
    finally:
        connection.close()


def upload(api_url: str, headers: Mapping[str, str], song: bytes, timeout_s: float) -> str:
    """Upload the song by a presigned URL, and return what names it in a submission.

    Raises what urllib raises: half an upload may be left then.
    """
    wanted = {"filename": _FILE_NAME, "bytes": len(song), "sha256": hashlib.sha256(song).hexdigest()}
    request = urllib.request.Request(f"{api_url}/uploads", json.dumps(wanted).encode(), dict(headers))
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        begun = json.load(answer)
    put = urllib.request.Request(begun["url"], song, begun["headers"], method="PUT")
    with urllib.request.urlopen(put, timeout=timeout_s):
        return str(begun["audio"])
