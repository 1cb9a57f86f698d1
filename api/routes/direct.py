"""Routes that FastAPI describes, and that are called without FastAPI's machinery."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.headers import headers_of

SIGNED_IN: Mapping[str, Any] = {"security": [{"HTTPBasic": []}, {"HTTPBearer": []}]}
"""The part of `openapi_extra` that says that a route asks for credentials."""


class DirectRequest(Request):
    """A request whose headers all of the layers share."""

    def __init__(self, scope: Scope, receive: Receive):
        super().__init__(scope, receive)
        self._headers = headers_of(scope)


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
        response = await self.endpoint(DirectRequest(scope, receive))
        await response(scope, receive, send)


class DirectRoutes:
    """The innermost middleware: calls direct routes without asking the router, which tries route after route.

    Other requests go on to the router. So do those whose address has a prefix of the server's.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[object], handlers: Mapping[Any, Any]):
        """`handlers` are the app's, by the class of exception. Of `routes` only direct ones count."""
        self._app, self._handlers = app, handlers
        self._handled: tuple[type[Exception], ...] = tuple(k for k in handlers if isinstance(k, type))
        direct = [route for route in routes if isinstance(route, DirectRoute) and "{" not in route.path]
        self._routes = {(method, route.path): route for route in direct for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None or scope.get("root_path"):
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = DirectRequest(scope, receive)
        try:
            response = await route.endpoint(request)
        except self._handled as error:
            response = await self._handler_of(error)(request, error)
        await response(scope, receive, send)

    def _handler_of(self, error: Exception) -> Callable[[Request, Exception], Awaitable[Response]]:
        known = next(kind for kind in type(error).__mro__ if kind in self._handlers)
        return cast(Callable[[Request, Exception], Awaitable[Response]], self._handlers[known])
