"""Puts the api together."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import documentation, problems
from api.auth import BasicAuth
from api.metrics import ApiMetrics
from api.middleware import EveryRequest
from api.queue import TaskQueue
from api.routes import make_router
from common.addresses import AddressPolicy
from common.settings import ApiSettings


def create_app(
    settings: ApiSettings,
    queue: TaskQueue,
    clock: Callable[[], float] = time.monotonic,
    metrics: ApiMetrics | None = None,
) -> FastAPI:
    """`queue` is started and closed with the app. Raises ValueError for settings that contradict."""
    metrics = metrics or ApiMetrics.create()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await queue.start()
        yield
        await queue.close()

    app = FastAPI(
        title="UVR API",
        version="1",
        description=documentation.DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url="/openapi.json" if settings.api_docs else None,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(EveryRequest, metrics=metrics)
    problems.install(app)
    documentation.install(app)
    if settings.api_docs:
        documentation.add_page(app)
    auth = BasicAuth(settings, clock, metrics)
    app.include_router(make_router(settings, queue, auth, AddressPolicy.from_settings(settings), metrics))
    return app
