"""Makes every error a problem JSON (RFC 9457), which also has `error` for programs of users."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from common.tasks.messages import State

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
UNEXPECTED_ERROR = (
    "The request could not be handled, because of an unexpected error; please try again. If it happens "
    "again, give the operator the X-Request-Id"
)


class ItemProblem(BaseModel):
    """Says what is wrong with one item of a batch."""

    index: int = Field(description="the item's place in `items`, from 0")
    error: str = Field(description="what is wrong, for people")
    error_code: str | None = Field(default=None, description="as in the problem of a single submission")


class Problem(BaseModel):
    """The body of every answer that is an error."""

    type: str = Field(default="about:blank", description="about:blank: `title` says what the status means")
    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what is wrong with this request, for people")
    error: str = Field(description="the same text as `detail`")
    error_code: str | None = Field(
        default=None, description="the kind of error, for programs, where there are kinds"
    )
    task_uuid: UUID | None = Field(
        default=None, description="the task that the problem is about, where there is one"
    )
    state: State | None = Field(
        default=None, description="the task's state, where the state is the reason of the problem"
    )
    batch_uuid: UUID | None = Field(
        default=None, description="the batch that the problem is about, where there is one"
    )
    problems: list[ItemProblem] | None = Field(
        default=None, description="only for a batch: each item that is wrong, in order"
    )


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        error_code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ):
        """`members` are further fields of Problem."""
        super().__init__(detail)
        self.status, self.detail, self.error_code, self.headers = status, detail, error_code, headers
        self.members = members


def problem(
    status: int,
    detail: str,
    error_code: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    title = HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, error=detail, error_code=error_code, **members)
    content = body.model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)


def explain(errors: list[Any]) -> str:
    """Return the first of pydantic's errors in one line, without the input."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("header", "query", "path", "body"))
    return f"{where}: {first['msg']}" if where else first["msg"]


def _methods(request: Request) -> list[str]:
    """Return the methods that the request's path takes, by all of its routes."""
    # FastAPI keeps included routers as they are, and those tell no methods: each method is tried.
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    routes = request.app.routes
    return [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]


def install(app: FastAPI) -> None:
    """Add the handlers that turn each exception of a route into a problem."""

    @app.exception_handler(ProblemError)
    async def on_problem(_: Request, error: ProblemError) -> JSONResponse:
        return problem(error.status, error.detail, error.error_code, error.headers, **error.members)

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> JSONResponse:
        headers = error.headers
        # Starlette names the methods of one route alone, of the several that a path has.
        if error.status_code == 405 and (methods := _methods(request)):
            headers = {"Allow": ", ".join(methods)}
        return problem(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem(400, explain(list(error.errors())))
