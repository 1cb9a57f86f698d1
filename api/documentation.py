"""What the OpenAPI document says beyond what FastAPI sees in the signatures."""

import functools
import json
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from pydantic.json_schema import models_json_schema

from api import documentation_page
from api.problems import MEDIA_TYPE, Problem
from api.submit.submission import Submission
from common import __version__
from common.tasks.messages import State

DESCRIPTION = """Separates songs into stems. Submit the address of a song; when its stems are ready, a
callback is POSTed to the address that you gave. Until then `/tasks` tells how far it is."""

SECONDS = {"schema": {"type": "integer"}, "description": "seconds until another try makes sense"}


def problem(
    status: int,
    when: str,
    detail: str,
    *,
    error_code: str | None = None,
    task_uuid: str | None = None,
    state: State | None = None,
    **headers: Any,
) -> dict:
    """An answer that is a problem, with its example; `headers` by name, `_` for `-`."""
    example = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        error=detail,
        error_code=error_code,
        task_uuid=task_uuid and UUID(task_uuid),
        state=state,
    )
    content = {"schema": reference(Problem), "example": example.model_dump(mode="json", exclude_none=True)}
    documented = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"description": when, "headers": documented, "content": {MEDIA_TYPE: content}}


def reference(model: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


UNAUTHORIZED = problem(
    401,
    "No credentials, or wrong ones",
    "Authentication is required",
    WWW_Authenticate={"schema": {"type": "string"}, "description": "`Basic realm=…`"},
)
FORBIDDEN = problem(
    403,
    "A web page of another site has sent it (`cross_origin`), or it is for a host that the api does not "
    "answer for (`host_not_allowed`)",
    "The request comes from a web page of another site: name its origin in CORS_ORIGINS if it may use the "
    "api; behind a proxy, hand on Host or X-Forwarded-Host",
    error_code="cross_origin",
)
TOO_MANY_FAILURES = problem(
    429,
    "Too many wrong credentials from this address",
    "Too many failed sign-ins from this address",
    Retry_After=SECONDS,
)
_TASK_UUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
UNEXPECTED = problem(500, "Anything unexpected", "The request could not be handled")

GENERATE: dict[str, Any] = {
    "summary": "Submit a song",
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "JSON, whatever the content type says, unless it says that it is a file. Unknown "
            "fields are left aside and named in the answer; one that is nearly a known one is refused",
            "content": {"application/json": {"schema": reference(Submission)}},
        }
    },
    "responses": {
        200: {
            "description": "The task is queued: the broker has confirmed it, now or at an earlier request of "
            "the same `Idempotency-Key`",
            "content": {
                "application/json": {
                    "example": {
                        "message": "Task has been queued for processing",
                        "status": "queued",
                        "task_uuid": _TASK_UUID,
                    }
                }
            },
        },
        400: problem(
            400,
            "The body, an address in it or a header is wrong, or a field is misspelt (`field_unknown`)",
            "audio: The address is not valid: it must begin with http:// or https://",
            error_code="address_invalid",
        ),
        401: UNAUTHORIZED,
        403: FORBIDDEN,
        409: problem(
            409,
            "The `Idempotency-Key` is that of `task_uuid`, which was submitted with another body",
            f"This Idempotency-Key is that of task {_TASK_UUID}, which was submitted with another body",
            error_code="key_reused",
            task_uuid=_TASK_UUID,
        ),
        408: problem(408, "The body came too slowly", "The body did not arrive within 10 s"),
        413: problem(413, "The body is too large", "The body is larger than 65536 bytes"),
        415: problem(
            415,
            "The body is a file, or a form with one: it must be JSON",
            'Songs are not uploaded here: send JSON with the address of the song, such as {"audio": '
            '"https://example.com/song.mp3"}, with the content type application/json',
        ),
        429: problem(
            429,
            "Too many tasks are queued, yours (`error_code` `too_many_queued_by_user`) or all "
            "(`too_many_queued`): about when there is room, `Retry-After` tells. Or too many wrong "
            "credentials came from this address",
            "You have 20 tasks in the queue, where 20 may wait; please submit this one later",
            error_code="too_many_queued_by_user",
            Retry_After=SECONDS,
        ),
        503: problem(
            503,
            "Kafka has not confirmed the task in time. It may be done nevertheless: with an "
            "`Idempotency-Key` a repeat is the same task. Or too many sign-ins are being checked",
            "The task could not be queued in time; please submit it again",
            Retry_After=SECONDS,
        ),
        "default": UNEXPECTED,
    },
}

HEALTH: dict[str, Any] = {
    "responses": {
        200: {
            "description": "The process answers",
            "content": {
                "application/json": {
                    "example": {"status": "healthy", "timestamp": 1750000000.0, "version": __version__}
                }
            },
        }
    },
}

_READY_EXAMPLE = {
    "status": "ready",
    "timestamp": 1750000000.0,
    "checks": {"kafka": {"ok": True, "detail": "connected"}, "view": {"ok": True, "detail": "caught up"}},
}
_NOT_READY_EXAMPLE = {
    "status": "not ready",
    "timestamp": 1750000000.0,
    "checks": {
        "kafka": {"ok": False, "detail": "Unable to bootstrap from ['localhost:9092']"},
        "view": {"ok": True, "detail": "not fed: Unable to bootstrap from ['localhost:9092']"},
    },
}
READY: dict[str, Any] = {
    "responses": {
        200: {
            "description": "Tasks can be queued; `view` tells how much is known of those that were",
            "content": {"application/json": {"example": _READY_EXAMPLE}},
        },
        503: {
            "description": "Kafka is away, or nothing has been read into the view for a minute: see `checks`",
            "content": {"application/json": {"example": _NOT_READY_EXAMPLE}},
        },
    },
}

METRICS: dict[str, Any] = {
    "response_class": PlainTextResponse,
    "responses": {
        200: {
            "description": "Prometheus' text format",
            "content": {"text/plain": {"example": "uvr_tasks_queued_total 12.0\n"}},
        },
    },
}


def install(app: FastAPI) -> None:
    """Adds the schemas that FastAPI does not see, since the body is read by hand, after the credentials."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _, ours = models_json_schema(
                [(Submission, "validation"), (Problem, "serialization")],
                ref_template="#/components/schemas/{model}",
            )
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(ours["$defs"])
            _without_items(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _without_items(schema: dict[str, Any]) -> None:
    """A stream is text: FastAPI describes its events with a word of OpenAPI 3.2, which 3.1 does not allow."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    if content.pop("itemSchema", None) is not None:
                        content["schema"] = {"type": "string"}


def add_page(app: FastAPI) -> None:
    """`GET /openapi.json`, and `GET /docs`: the document for people. Each is made once: anybody may ask."""

    @functools.cache
    def document() -> bytes:
        return json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    @functools.cache
    def text() -> bytes:
        return documentation_page.render(app.openapi()).encode()

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(document(), media_type="application/json")

    @app.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        headers = {"Content-Security-Policy": documentation_page.POLICY}
        return HTMLResponse(text(), headers=headers)
