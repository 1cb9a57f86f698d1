"""`GET /health`, `/livez`, `/readyz` and `/metrics`, which need no credentials."""

import time

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from api.routes.parts import Parts
from api.routes.responses import Answers, answer
from common import __version__
from common.observability.health import report
from common.observability.prometheus import exposition

router = APIRouter(tags=["probes"])
metrics_router = APIRouter(tags=["probes"])

_KAFKA_IS_AWAY = "Unable to bootstrap from ['localhost:9092']"
_ALIVE: Answers = {
    200: answer(
        "The process answers", {"status": "healthy", "timestamp": 1750000000.0, "version": __version__}
    )
}
_READY: Answers = {
    200: answer(
        "Tasks can be queued. `view` says how much the api knows of the tasks that were queued",
        {
            "status": "ready",
            "timestamp": 1750000000.0,
            "checks": {
                "kafka": {"ok": True, "detail": "connected"},
                "view": {"ok": True, "detail": "caught up"},
            },
        },
    ),
    503: answer(
        "Kafka is unreachable, or the view has read nothing for a minute: see `checks`",
        {
            "status": "not ready",
            "timestamp": 1750000000.0,
            "checks": {
                "kafka": {"ok": False, "detail": _KAFKA_IS_AWAY},
                "view": {"ok": True, "detail": f"not fed: {_KAFKA_IS_AWAY}"},
            },
        },
    ),
}
_METRICS: Answers = {200: answer("Prometheus' text format", "uvr_tasks_queued_total 12.0\n", "text/plain")}


@router.get("/health", responses=_ALIVE)
@router.get("/livez", responses=_ALIVE)
async def health() -> JSONResponse:
    """Check that the process answers."""
    return JSONResponse({"status": "healthy", "timestamp": time.time(), "version": __version__})


@router.get("/readyz", responses=_READY)
async def ready(parts: Parts) -> Response:
    """Check whether tasks can be queued, and if not, why."""
    status, body = report(parts.readiness, time.time())
    return JSONResponse(body, status)


@metrics_router.get("/metrics", response_class=PlainTextResponse, responses=_METRICS)
async def show_metrics(parts: Parts) -> Response:
    """Return numbers for Prometheus: sums over all users, without anybody's name or address."""
    content_type, text = exposition(parts.metrics.registry)
    return Response(text, headers={"Content-Type": content_type})
