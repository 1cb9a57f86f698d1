"""`POST /generate`, and what probes ask."""

import logging
import time
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response, Security
from fastapi.responses import JSONResponse

from api import documentation
from api.auth.basic_auth import BasicAuth
from api.http.body import read_body
from api.metrics import ApiMetrics
from api.publishing.publisher import TaskQueue
from api.publishing.unavailable import confirmed_in_time
from api.submit.admission import Admission, Admitted
from api.submit.submission import Queued, digest, parse, refuse_files, task_uuid
from api.submit.unknown_fields import shown
from api.view.view import TaskView
from common import __version__
from common.observability.health import report
from common.observability.log import current_request_id, task_context
from common.observability.prometheus import exposition, register_readiness
from common.outbound.addresses import AddressPolicy, without_secrets
from common.settings.schema import ApiSettings
from common.tasks.messages import Task

log = logging.getLogger(__name__)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="A repeat with the same key, by the same user, is the same task, and is not queued "
        "again; with another body it is refused.",
    ),
]


def make_router(
    settings: ApiSettings,
    queue: TaskQueue,
    view: TaskView,
    auth: BasicAuth,
    policy: AddressPolicy,
    metrics: ApiMetrics,
) -> APIRouter:
    router = APIRouter()
    checks = {"kafka": queue.check, "view": view.check}
    register_readiness(metrics.registry, "api", checks)
    admission = Admission(settings, queue, view, metrics)

    @router.post("/generate", response_model_exclude_none=True, **documentation.GENERATE)
    async def generate(
        request: Request,
        # Both are decided before the body is looked at, which is why it is no parameter of this function.
        user: Annotated[str, Security(auth)],
        idempotency_key: IdempotencyKey = None,
    ) -> Queued:
        """Queue a song for separation. The answer comes once the task is safely stored."""
        refuse_files(request)
        submission, ignored = parse(await read_body(request, settings.max_body_bytes), policy)
        submitted_at, cancel_after_s = time.time(), submission.cancel_after_s
        task = Task(
            task_uuid=task_uuid(user, idempotency_key),
            audio=submission.audio,
            hook_url=submission.hook_url,
            submitted_at=submitted_at,
            user=user,
            request_id=current_request_id(),
            idempotency_key=idempotency_key,
            submission_digest=None if idempotency_key is None else digest(submission),
            cancel_at=None if cancel_after_s is None else submitted_at + cancel_after_s,
        )
        with task_context(task.task_uuid):
            with confirmed_in_time(
                "Task not queued", "The task could not be queued in time; please submit it again"
            ):
                admitted = await admission.admit(task)
            queued = Queued(task_uuid=task.task_uuid, ignored=list(ignored) or None)
            if ignored:
                log.info("Fields ignored, since they are not known: %s", shown(ignored))
            if admitted is Admitted.BEFORE:
                log.info("Task submitted again by %s: nothing is queued", user)
                return queued
            metrics.tasks_queued.inc()
            log.info(
                "Task queued for %s: audio %s, callback to %s",
                user,
                without_secrets(task.audio),
                "nobody" if task.hook_url is None else without_secrets(task.hook_url),
            )
        return queued

    @router.get("/health", **documentation.HEALTH)
    @router.get("/livez", **documentation.HEALTH)
    async def health() -> JSONResponse:
        """The process answers."""
        return JSONResponse({"status": "healthy", "timestamp": time.time(), "version": __version__})

    @router.get("/readyz", **documentation.READY)
    async def ready() -> Response:
        """Tasks can be queued, or why they cannot."""
        status, body = report(checks, time.time())
        return JSONResponse(body, status)

    if settings.api_metrics:

        @router.get("/metrics", **documentation.METRICS)
        async def show_metrics() -> Response:
            """Numbers for Prometheus: sums over all users, with nobody's name or address in them."""
            content_type, text = exposition(metrics.registry)
            return Response(text, headers={"Content-Type": content_type})

    return router
