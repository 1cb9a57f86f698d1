"""`GET /openapi.json`: the OpenAPI document, as FastAPI makes it from the routes and their models."""

import functools
import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.batches.models import BatchSubmission
from api.dead_letters.models import ReplayRequest
from api.http.in_chunks import in_chunks
from api.problems import Problem
from api.submit.hook_test import HookTestRequest
from api.submit.submission import Submission
from api.uploads.models import CompletedParts, NewUpload

DESCRIPTION = """Separates songs into stems. Submit the address of a song; when its stems are ready, a
callback is POSTed to the address that you gave. Until then, `GET /tasks` says how far your tasks are."""

# A route reads this body itself, after it has checked the credentials, and every route may answer with a
# problem: FastAPI sees neither in the signatures.
_SCHEMAS_OF_OUR_OWN: Sequence[tuple[type[BaseModel], JsonSchemaMode]] = (
    (Submission, "validation"),
    (BatchSubmission, "validation"),
    (NewUpload, "validation"),
    (CompletedParts, "validation"),
    (ReplayRequest, "validation"),
    (HookTestRequest, "validation"),
    (Problem, "serialization"),
)
# One for all apps, for the reason that `api.documentation.swagger_ui` gives.
_router = APIRouter(include_in_schema=False)


def install(app: FastAPI) -> None:
    """Replace `app.openapi` by a function that also adds the schemas that FastAPI does not see."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _make(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def add_route(app: FastAPI) -> None:
    """Add `GET /openapi.json`. The text is made once, because anybody may ask for it."""
    app.state.openapi_text = functools.cache(functools.partial(_text, app))
    app.include_router(_router)


@_router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    return in_chunks(request.app.state.openapi_text(), "application/json")


def _text(app: FastAPI) -> bytes:
    return json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()


def _make(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=app.servers,
    )
    _, ours = models_json_schema(_SCHEMAS_OF_OUR_OWN, ref_template="#/components/schemas/{model}")
    document.setdefault("components", {}).setdefault("schemas", {}).update(ours["$defs"])
    _describe_streams_as_text(document)
    return document


def _describe_streams_as_text(document: dict[str, Any]) -> None:
    """Replace `itemSchema`, by which FastAPI describes events: OpenAPI 3.1 does not have this word yet."""
    contents = (
        content
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for content in answer.get("content", {}).values()
    )
    for content in contents:
        if content.pop("itemSchema", None) is not None:
            content["schema"] = {"type": "string"}
