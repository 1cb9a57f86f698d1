"""Dead letters: workers write them, `python -m common.deadletter` shows and replays them."""

from common.deadletter.letters import (
    ATTEMPT,
    DROPPED_HEADERS,
    DROPPED_KEY,
    ERROR_CODE,
    REASON,
    TRUNCATED,
    bare_letter,
    letter,
)
from common.retry import ORIGIN

__all__ = [
    "ATTEMPT",
    "DROPPED_HEADERS",
    "DROPPED_KEY",
    "ERROR_CODE",
    "ORIGIN",
    "REASON",
    "TRUNCATED",
    "bare_letter",
    "letter",
]
