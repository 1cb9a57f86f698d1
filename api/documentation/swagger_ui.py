"""`GET /docs`: Swagger UI, from the files in the package fastapi-swagger.

FastAPI's own pages load their scripts from a public CDN. A browser would run these scripts on an origin for
which it holds users' passwords.
"""

from importlib import resources

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from api.http.in_chunks import in_chunks

# Swagger UI draws its icons from `data:` URLs in its style sheet, and sends requests to the api ("Try it
# out"). Nothing inline is allowed: neither a script, nor a style element, nor a style attribute.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_OURS = ("page.html", "start.js")
_MEDIA_TYPES = {
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_ONE_HOUR = "max-age=3600"
# Not made anew for each app: FastAPI keeps what it has found out about a route's function, and so all that
# the function refers to, long after its app is gone.
_router = APIRouter(include_in_schema=False)


def install(app: FastAPI) -> None:
    """Add the page and its files to `app`. All files are read now, so that a missing one stops the start."""
    ours, theirs = resources.files("api.documentation"), resources.files("fastapi_swagger.resources")
    names = {name: ours if name in _OURS else theirs for name in ("page.html", *_MEDIA_TYPES)}
    app.state.swagger_ui = {name: (folder / name).read_bytes() for name, folder in names.items()}
    app.include_router(_router)


@_router.get("/docs")
async def show_page(request: Request) -> HTMLResponse:
    page = request.app.state.swagger_ui["page.html"]
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


@_router.get("/docs/{name}")
async def show_file(request: Request, name: str) -> Response:
    if name not in _MEDIA_TYPES:
        raise HTTPException(404)
    return in_chunks(request.app.state.swagger_ui[name], _MEDIA_TYPES[name], {"Cache-Control": _ONE_HOUR})
