"""`/session`: signs a user of the console in and out, and says who is signed in."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError

from api.auth.basic_auth import COOKIE, require_page
from api.auth.caller import Caller
from api.auth.sessions import LIFETIME_S
from api.http.body import read_body
from api.problems import ProblemError, explain
from api.routes.parts import Parts

_MAX_BODY_BYTES = 8 * 1024

# The console's own: programs sign in by HTTP Basic, which the OpenAPI document describes.
router = APIRouter(prefix="/session", include_in_schema=False)


class Credentials(BaseModel):
    """Hold the name and the password of the form."""

    username: Annotated[str, Field(max_length=128)]
    password: Annotated[str, Field(max_length=1024)]


class Demo(BaseModel):
    """Name the song that the console offers to users without tasks."""

    url: str
    label: str


class Session(BaseModel):
    """Say who is signed in. `user` is None for nobody. `demo` is left out where there is none."""

    user: str | None
    is_admin: bool
    demo: Demo | None = None


@router.post("")
async def sign_in(request: Request, parts: Parts) -> Response:
    """Set the session's cookie for a right name and password. Raise ProblemError: 400, 401, 403, 429 or 503.

    The page's header is asked for, so that no other page can sign its visitor in under a name of its choice.
    """
    require_page(request)
    try:
        given = Credentials.model_validate_json(await read_body(request, _MAX_BODY_BYTES))
    except ValidationError as error:
        detail = explain(error.errors(include_url=False, include_input=False))
        raise ProblemError(400, detail) from None
    token = await parts.auth.sign_in(request, given.username, given.password)
    answer = _answer(_session_of(given.username, parts))
    _set_cookie(answer, request, token, LIFETIME_S)
    return answer


@router.delete("", status_code=204)
async def sign_out(request: Request) -> Response:
    """Take the cookie away. Raise ProblemError 403 for a request that is not the page's."""
    require_page(request)
    answer = Response(status_code=204)
    _set_cookie(answer, request, "", 0)
    return answer


@router.get("")
async def session(request: Request, parts: Parts) -> Response:
    """Return who is signed in by the cookie. Nobody is no error: the page asks when it begins."""
    user = parts.auth.sessions.user_of(request.cookies.get(COOKIE, ""))
    return _answer(_session_of(user, parts))


def _session_of(user: str | None, parts: Parts) -> Session:
    if user is None:
        return Session(user=None, is_admin=False)
    found = Session(user=user, is_admin=parts.auth.is_admin(Caller(user, parts.auth.rules.of(user).scopes)))
    if parts.settings.demo_song_url:
        found.demo = Demo(url=parts.settings.demo_song_url, label=parts.settings.demo_song_label)
    return found


def _answer(body: Session) -> Response:
    return Response(body.model_dump_json(exclude_unset=True), media_type="application/json")


def _set_cookie(answer: Response, request: Request, value: str, max_age_s: int) -> None:
    # Without a Path the browser takes the folder of this address, which is right behind a path prefix too.
    answer.set_cookie(
        COOKIE,
        value,
        max_age=max_age_s,
        path=None,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
