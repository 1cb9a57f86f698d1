"""Points and spans of time as people type them."""

import re
from datetime import UTC, datetime

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
FORMS = "a duration back from now (90m, 2h, 3d) or an ISO time, UTC unless it says otherwise"


def parse_since(text: str, now_s: float) -> float:
    """Seconds since the epoch. Raises ValueError."""
    if back := re.fullmatch(r"([0-9]{1,9})([smhdw])", text):
        return now_s - int(back[1]) * _UNITS_S[back[2]]
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"expected {FORMS}") from None
