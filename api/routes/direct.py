"""A route that FastAPI describes, and that is called without FastAPI's machinery."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

SIGNED_IN: Mapping[str, Any] = {"security": [{"HTTPBasic": []}, {"HTTPBearer": []}]}
"""The part of `openapi_extra` that says that a route asks for credentials."""


class DirectRoute(APIRoute):
    """Calls its function with the request alone, and sends the Response that the function returns.

    FastAPI would find the function's parameters, enter three stacks of contexts and check the answer. For
    `POST /generate` that costs as much as the function itself. What FastAPI learns from a signature for its
    OpenAPI document is given as `response_model` and `openapi_extra`.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await self.endpoint(Request(scope, receive))
        await response(scope, receive, send)
