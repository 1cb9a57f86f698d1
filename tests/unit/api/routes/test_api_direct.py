"""Routes that are called without the router: the same answers as by the router."""

import asyncio
import json

import pytest
from fastapi import APIRouter, FastAPI, Request, Response

from api import problems
from api.problems import ProblemError
from api.routes.direct import DirectRoute, DirectRoutes

router = APIRouter(route_class=DirectRoute)


@router.post("/direct")
async def direct(request: Request) -> Response:
    match request.headers.get("X-Wanted"):
        case "problem":
            raise ProblemError(409, "no")
        case "error":
            raise LookupError
    return Response(f"done {'router' in request.scope}")


@router.get("/of/{name}")
async def of(request: Request) -> Response:
    return Response(f"of {request.path_params['name']}")


def answer(method: str, path: str, root_path: str = "", wanted: str = "") -> tuple[int, str]:
    app = FastAPI(openapi_url=None)
    app.add_middleware(DirectRoutes, routes=router.routes, handlers=app.exception_handlers)
    problems.install(app)
    app.include_router(router)
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": f"{root_path}{path}", "root_path": root_path}
    scope |= {"headers": [(b"x-wanted", wanted.encode())], "query_string": b"", "http_version": "1.1"}
    asyncio.run(app(scope, None, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()


def test_a_direct_route_is_called_without_the_router():
    assert answer("POST", "/direct") == (200, "done False")


def test_where_the_server_has_a_prefix_the_router_finds_the_route():
    assert answer("POST", "/direct", root_path="/prefix") == (200, "done True")


@pytest.mark.parametrize("root_path", ["", "/prefix"])
def test_a_problem_is_an_answer_either_way(root_path):
    status, body = answer("POST", "/direct", root_path, wanted="problem")
    assert (status, json.loads(body)["detail"]) == (409, "no")


@pytest.mark.parametrize("root_path", ["", "/prefix"])
def test_an_error_without_a_handler_goes_on(root_path):
    with pytest.raises(LookupError):
        answer("POST", "/direct", root_path, wanted="error")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/direct", 405), ("POST", "/absent", 404)])
def test_what_is_no_direct_route_is_the_routers(method, path, status):
    assert answer(method, path)[0] == status


def test_a_path_with_a_parameter_is_the_routers():
    assert answer("GET", "/of/songs") == (200, "of songs")
