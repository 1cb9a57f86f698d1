"""Answers with a large text of the api's own, which anybody may ask for."""

from collections.abc import AsyncIterator, Mapping

from fastapi.responses import StreamingResponse

# A client that does not read holds no more than this of an answer in the api's memory.
_CHUNK_BYTES = 16 * 1024


def in_chunks(content: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> StreamingResponse:
    """Return an answer that is handed out as fast as its client reads it."""
    length = {"Content-Length": str(len(content))}
    return StreamingResponse(_chunks(content), media_type=media_type, headers={**length, **(headers or {})})


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]
