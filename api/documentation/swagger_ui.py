"""`GET /docs`: Swagger UI, from the files in the package fastapi-swagger.

FastAPI's own pages load their scripts from a public CDN. A browser would run these scripts on an origin for
which it holds users' passwords.
"""

from importlib import resources

from fastapi import FastAPI
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
_MEDIA_TYPES = {
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_ONE_HOUR = "max-age=3600"


def install(app: FastAPI) -> None:
    """Add the page and its files to `app`. All files are read now, so that a missing one stops the start."""
    ours, theirs = resources.files("api.documentation"), resources.files("fastapi_swagger.resources")
    page = (ours / "page.html").read_bytes()
    files = {name: ((ours if name == "start.js" else theirs) / name).read_bytes() for name in _MEDIA_TYPES}

    @app.get("/docs", include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})

    @app.get("/docs/{name}", include_in_schema=False)
    async def show_file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return in_chunks(files[name], _MEDIA_TYPES[name], {"Cache-Control": _ONE_HOUR})
