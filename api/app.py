"""Puts the api together."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI

from api import problems
from api.archive.archives import Archives
from api.auth.basic_auth import BasicAuth
from api.batches.admission import BatchAdmission
from api.batches.ends import BatchEnds
from api.console import page, session
from api.dead_letters.desk import Desk
from api.documentation import document, swagger_ui
from api.http.cross_origin import BehindProxy, CrossOrigin
from api.http.middleware import EveryRequest
from api.http.query import one_value_each
from api.limiter import RateLimiter
from api.limits.quotas import Quotas
from api.links.renewer import LinkRenewer
from api.metrics import ApiMetrics
from api.offers.checking import Offers
from api.publishing.publisher import TaskPublisher
from api.publishing.together import KafkaTogether, TogetherPublisher
from api.routes import (
    archive,
    batch_redelivery,
    batches,
    cancel,
    dead_letters,
    deletion,
    hooks,
    offers,
    peaks,
    probes,
    redelivery,
    statistics,
    submit,
    tasks,
    usage,
    webhook_keys,
)
from api.routes import uploads as upload_routes
from api.routes.direct import DirectRoutes
from api.routes.parts import AppParts
from api.routes.redelivery_limits import RedeliveryLimits
from api.routes.waiting import Waiters
from api.submit.admission import Admission
from api.uploads.gate import UploadGate
from api.view.task_view import TaskView
from common import __version__
from common.observability.health import is_ready
from common.observability.prometheus import register_readiness
from common.outbound.addresses import AddressPolicy
from common.settings.schema import ApiSettings

_TASK_ROUTES = (tasks, redelivery, cancel, deletion, archive, peaks)
_BATCH_ROUTES = (batches, batch_redelivery)
_ROUTES = (
    submit,
    *_BATCH_ROUTES,
    upload_routes,
    probes,
    *_TASK_ROUTES,
    hooks,
    usage,
    offers,
    webhook_keys,
)
_FOR_ADMINISTRATORS = (statistics, dead_letters)
_DIRECT = (*submit.router.routes, *batches.submit_router.routes)


def create_app(
    settings: ApiSettings,
    publisher: TaskPublisher,
    view: TaskView,
    clock: Callable[[], float] = time.monotonic,
    metrics: ApiMetrics | None = None,
    uploads: UploadGate | None = None,
    together: TogetherPublisher | None = None,
) -> FastAPI:
    """Make the app, which starts and closes `publisher` and `view`. Raise ValueError for bad settings."""
    gate = uploads or UploadGate(settings)
    together = together or KafkaTogether.of(settings, settings.kafka_ack_timeout_s)
    parts = _make_parts(settings, publisher, view, clock, metrics or ApiMetrics.create(), gate, together)
    ends = BatchEnds(settings, view, together, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await publisher.start()
        await view.start()
        ends.start()
        yield
        await ends.stop()
        parts.close()
        await view.close()
        await publisher.close()

    app = FastAPI(
        title="UVR API",
        version=__version__,
        description=document.DESCRIPTION,
        # Relative to the document's own address: the api may stand behind a path prefix of a proxy.
        servers=[{"url": ".", "description": "this api"}],
        lifespan=lifespan,
        redirect_slashes=False,
        dependencies=[Depends(one_value_each)],
        # FastAPI would ask on each request whether somebody has set up OpenTelemetry. Nobody does here.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        openapi_url=None,  # see `api.documentation`
        docs_url=None,
        redoc_url=None,
    )
    app.state.parts = parts
    # The last middleware that is added sees a request first.
    app.add_middleware(DirectRoutes, routes=_DIRECT, handlers=app.exception_handlers)
    app.add_middleware(CrossOrigin, settings=settings)
    app.add_middleware(EveryRequest, metrics=parts.metrics)
    if settings.forwarded_allow_ips:
        app.add_middleware(BehindProxy, trusted_hosts=settings.forwarded_allow_ips)
    _install_routes(app, settings)
    return app


def _install_routes(app: FastAPI, settings: ApiSettings) -> None:
    problems.install(app)
    tasks.install(app)
    document.install(app)
    if settings.api_docs:
        document.add_route(app)
        swagger_ui.install(app)
    app.include_router(batches.submit_router)
    for routes in (*_ROUTES, *_FOR_ADMINISTRATORS):
        app.include_router(routes.router)
    if settings.api_metrics:
        app.include_router(probes.metrics_router)
    app.include_router(session.router)
    page.install(app)


def _make_parts(
    settings: ApiSettings,
    publisher: TaskPublisher,
    view: TaskView,
    clock: Callable[[], float],
    metrics: ApiMetrics,
    upload_gate: UploadGate,
    together: TogetherPublisher,
) -> AppParts:
    what_there_is = Offers()
    auth = BasicAuth(settings, clock, metrics)
    quotas = Quotas(auth.rules, view, metrics)
    admission = Admission(settings, publisher, view, metrics, what_there_is, upload_gate, quotas)
    readiness = {"kafka": publisher.check, "view": view.check}
    # These checks ask nobody: their answers are known already.
    register_readiness(metrics.registry, "api", partial(is_ready, readiness))
    return AppParts(
        settings=settings,
        publisher=publisher,
        view=view,
        auth=auth,
        quotas=quotas,
        policy=AddressPolicy.from_settings(settings),
        admission=admission,
        redelivery_limits=RedeliveryLimits(settings.redeliveries_per_minute, clock),
        links=LinkRenewer(settings),
        archives=Archives(settings),
        offers=what_there_is,
        metrics=metrics,
        readiness=readiness,
        uploads=upload_gate,
        dead_letters=Desk(),
        waiters=Waiters(),
        hook_tests=RateLimiter(hooks.PER_MINUTE, clock),
        together=together,
        batches=BatchAdmission(settings, admission, together, view),
    )
