"""Parses the points in time that people type."""

import re
from datetime import UTC, datetime

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
FORMS = "a duration before now (90m, 2h, 3d) or an ISO time, UTC unless it names a time zone"


def parse_since(text: str, now_s: float) -> float:
    """Returns seconds since the epoch. Raises ValueError when `text` has none of the forms in `FORMS`."""
    if back := re.fullmatch(r"([0-9]{1,9})([smhdw])", text):
        return now_s - int(back[1]) * _UNITS_S[back[2]]
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"expected {FORMS}") from None
