"""Reads the api's answers: a body becomes a model, an error status becomes an exception."""

import json
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from uvr_client.errors import (
    BadRequest,
    Conflict,
    NotFound,
    RequestError,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)

M = TypeVar("M", bound=BaseModel)

_KINDS: dict[int, type[RequestError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def read(model: type[M], text: str | bytes) -> M:
    """Returns `text` as a `model`. Raises ServerError when the text is not valid for it."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise ServerError(200, f"not an answer of the api: {where}: {first['msg']}") from None


def raise_for_status(response: httpx.Response) -> None:
    """Raises the RequestError of a response whose status is not 2xx, after reading its body."""
    status = response.status_code
    if 200 <= status < 300:
        return
    body = _problem(response)
    if status < 400:
        where = response.headers.get("Location", "elsewhere")
        raise ServerError(status, f"not an answer of the api: a redirect (status {status}) to {where}")
    kind = _KINDS.get(status, BadRequest if status < 500 else ServerError)
    raise kind(
        status,
        _text(body, "detail") or _text(body, "error") or f"status {status}",
        error_code=_text(body, "error_code"),
        state=_text(body, "state"),
        retry_after_s=retry_after_s(response),
    )


def retry_after_s(response: httpx.Response) -> float | None:
    """Returns the header Retry-After in seconds; None if there is none, or if it is a date."""
    given = response.headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) < 10 else None


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = json.loads(response.read())
    except (ValueError, RecursionError):  # such as the HTML page of a proxy
        return {}
    return body if isinstance(body, dict) else {}


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) else None
