"""`GET /`: the console's page, and its files below `/console/`, as `console/build.sh` has made them."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from api.http.in_chunks import in_chunks
from api.routes.parts import parts_of

_NOT_BUILT = (
    "UVR API runs, but its console was not built: run console/build.sh and start the api again. "
    "The API itself is described at docs below this address.\n"
)
_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
# A file's name changes with its content.
_FOR_EVER = "public, max-age=31536000, immutable"
# One for all apps, for the reason that `api.documentation.swagger_ui` gives.
_router = APIRouter(include_in_schema=False)


def policy(bucket_origin: str | None) -> str:
    """Return the page's content security policy. Stems are heard from the bucket's own address."""
    stems = f" {bucket_origin}" if bucket_origin else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            f"media-src 'self'{stems}",
            f"connect-src 'self'{stems}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@dataclass(frozen=True)
class _Console:
    page: bytes | None  # None where the console was not built
    files: Mapping[str, bytes]  # by name


def install(app: FastAPI, assets: Traversable | None = None) -> None:
    """Add the page and its files to `app`. All files are read now: what is built later needs a restart."""
    folder = resources.files("api.console") / "assets" if assets is None else assets
    app.state.console = _read(folder)
    app.include_router(_router)


@_router.get("/")
async def show_page(request: Request) -> Response:
    page = _console_of(request).page
    if page is None:
        return PlainTextResponse(_NOT_BUILT, 404)
    origin = await parts_of(request).links.origin()
    return HTMLResponse(page, headers={"Content-Security-Policy": policy(origin)})


@_router.get("/console/{name}")
async def show_file(request: Request, name: str) -> Response:
    files = _console_of(request).files
    if name not in files:
        raise HTTPException(404)
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    return in_chunks(files[name], media_type, {"Cache-Control": _FOR_EVER})


def _console_of(request: Request) -> _Console:
    return cast(_Console, request.app.state.console)


def _read(folder: Traversable) -> _Console:
    page = folder / "index.html"
    if not page.is_file():
        return _Console(None, {})
    found = [file for file in (folder / "console").iterdir() if file.name.rpartition(".")[2] in _MEDIA_TYPES]
    return _Console(page.read_bytes(), {file.name: file.read_bytes() for file in found})
