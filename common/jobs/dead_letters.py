"""Makes dead letters: the raw record, with headers that say where it came from and why it was put aside.

The headers' names are the constants here. The record's own headers stay, in front of them.
"""

from common.jobs.retry import ORIGIN, History, foreign_headers
from common.kafka.records import Message, Record

ERROR_CODE = "uvr-error-code"
REASON = "uvr-reason"
ATTEMPT = "uvr-attempt"
TRUNCATED = "uvr-truncated-bytes"
DROPPED_KEY = "uvr-dropped-key-bytes"
DROPPED_HEADERS = "uvr-dropped-headers"

# The producer refuses requests of more than 1 MiB, and it must be possible to write every letter.
_MAX_VALUE_BYTES = 900_000
_MAX_KEY_BYTES = 32_000
_MAX_HEADERS_BYTES = 64_000
_MAX_REASON_CHARS = 2_000


def letter(topic: str, record: Record, error_code: str, reason: str, attempt: int, past: History) -> Message:
    """Returns a dead letter with the record's key, bytes and headers.

    A value, key or headers that are too large for Kafka are cut or dropped, and a header says so. `attempt`
    is the number of attempts that count; the header `uvr-origin` is `topic/partition/offset`.
    """
    key, value = record.key, record.value
    headers = list(foreign_headers(record))
    cut = []
    if value is not None and len(value) > _MAX_VALUE_BYTES:
        cut.append((TRUNCATED, str(len(value)).encode()))
        value = value[:_MAX_VALUE_BYTES]
    if key is not None and len(key) > _MAX_KEY_BYTES:
        cut.append((DROPPED_KEY, str(len(key)).encode()))
        key = None
    if sum(len(name.encode()) + len(content) for name, content in headers) > _MAX_HEADERS_BYTES:
        cut.append((DROPPED_HEADERS, str(len(headers)).encode()))
        headers = []
    if key is None and value is None:  # the producer refuses a record with neither
        value = b""
    return Message(topic, key, value, (*headers, *past.headers, *_why(error_code, reason, attempt), *cut))


def bare_letter(topic: str, record: Record, error_code: str, reason: str, attempt: int) -> Message:
    """Returns a dead letter without key and bytes, for a record of which Kafka takes nothing.

    The header `uvr-origin` tells where the record is.
    """
    return Message(topic, None, b"", ((ORIGIN, record.location.encode()), *_why(error_code, reason, attempt)))


def _why(error_code: str, reason: str, attempt: int) -> tuple[tuple[str, bytes], ...]:
    return (
        (ERROR_CODE, error_code.encode()),
        (REASON, reason[:_MAX_REASON_CHARS].encode(errors="replace")),
        (ATTEMPT, str(attempt).encode()),
    )
