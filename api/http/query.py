"""Refuses a query parameter that is given twice: no route takes several, so one would be passed over."""

from collections import Counter

from fastapi import Request

from api.problems import ProblemError


async def one_value_each(request: Request) -> None:
    """Raise ProblemError 400 for a query parameter that is given more than once."""
    if b"&" not in request.scope["query_string"]:
        return
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).most_common(1):
        if count > 1:
            raise ProblemError(
                400, f"{name[:100]}: the query has this parameter {count} times", error_code="field_repeated"
            )
