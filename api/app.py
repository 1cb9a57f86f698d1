"""Puts the api together."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import documentation, problems
from api.auth.basic_auth import BasicAuth
from api.http.cross_origin import BehindProxy, CrossOrigin
from api.http.middleware import EveryRequest
from api.links.renewer import FreshLinks
from api.metrics import ApiMetrics
from api.publishing.publisher import TaskQueue
from api.routes import tasks
from api.routes.cancel import make_steering_router
from api.routes.redelivery import make_redelivery_router
from api.routes.submit import make_router
from api.routes.tasks import make_tasks_router
from api.view.view import TaskView
from common import __version__
from common.outbound.addresses import AddressPolicy
from common.settings.schema import ApiSettings


def create_app(
    settings: ApiSettings,
    queue: TaskQueue,
    view: TaskView,
    clock: Callable[[], float] = time.monotonic,
    metrics: ApiMetrics | None = None,
) -> FastAPI:
    """`queue` and `view` start and close with the app. Raises ValueError for settings that contradict."""
    metrics = metrics or ApiMetrics.create()
    links = FreshLinks(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await queue.start()
        await view.start()
        yield
        links.close()
        await view.close()
        await queue.close()

    app = FastAPI(
        title="UVR API",
        version=__version__,
        description=documentation.DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # see `documentation.add_page`
        docs_url=None,
        redoc_url=None,
    )
    # The last one added sees a request first.
    app.add_middleware(CrossOrigin, settings=settings)
    app.add_middleware(EveryRequest, metrics=metrics)
    if settings.forwarded_allow_ips:
        app.add_middleware(BehindProxy, trusted_hosts=settings.forwarded_allow_ips)
    problems.install(app)
    tasks.install(app)
    documentation.install(app)
    if settings.api_docs:
        documentation.add_page(app)
    auth = BasicAuth(settings, clock, metrics)
    policy = AddressPolicy.from_settings(settings)
    app.include_router(make_router(settings, queue, view, auth, policy, metrics))
    app.include_router(make_tasks_router(settings, view, auth, links))
    app.include_router(make_redelivery_router(settings, queue, view, auth, links, clock))
    app.include_router(make_steering_router(settings, queue, view, auth))
    return app
