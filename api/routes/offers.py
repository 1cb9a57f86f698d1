"""`GET /models`, `/presets` and `/workers`: what a submission may choose, and who does the work."""

from fastapi import APIRouter

from api.offers.models import (
    EXAMPLE_MODELS,
    EXAMPLE_PRESETS,
    EXAMPLE_WORKERS,
    Models,
    Presets,
    Worker,
    Workers,
    WorkersTask,
)
from api.problems import ProblemError
from api.routes.access import IsAdmin, User
from api.routes.parts import Parts
from api.routes.responses import answer, answers_about_offers
from api.view import statistics

router = APIRouter(tags=["offers"])


@router.get(
    "/models",
    summary="List models",
    response_model_exclude_none=True,
    responses=answers_about_offers(
        answer("The models that live processors have installed. Empty while there is none", EXAMPLE_MODELS)
    ),
)
async def models(_: User, parts: Parts) -> Models:
    """Return the models that a submission may name, merged over all processors."""
    offer = parts.offers.of(await parts.view.announced())
    return Models(models=list(offer.models.values()))


@router.get(
    "/presets",
    summary="List presets",
    response_model_exclude_none=True,
    responses=answers_about_offers(
        answer(
            "The presets whose models live processors have installed. Empty while there is none",
            EXAMPLE_PRESETS,
        )
    ),
)
async def presets(_: User, parts: Parts) -> Presets:
    """Return the presets that a submission may name, merged over all processors."""
    offer = parts.offers.of(await parts.view.announced())
    return Presets(presets=list(offer.presets.values()))


@router.get(
    "/workers",
    summary="List processors",
    response_model_exclude_none=True,
    responses=answers_about_offers(
        answer(
            "The processors that have announced themselves within the last 3 minutes, and have not stopped",
            EXAMPLE_WORKERS,
        )
    ),
)
async def workers(_: User, is_admin: IsAdmin, parts: Parts) -> Workers:
    """Return the live processors. Where there are `ADMIN_USERNAMES`, only those users may ask."""
    if parts.settings.admin_usernames and not is_admin:
        raise ProblemError(403, "Only administrators may see the processors", error_code="not_an_admin")
    announced = await parts.view.announced()
    if not is_admin:
        return Workers(workers=[Worker.of(seen) for seen in announced])
    at_work = await parts.view.ask(statistics.at_work)
    return Workers(
        workers=[
            Worker.of(seen, [WorkersTask.of(one) for one in at_work if one.worker_id == seen.worker_id])
            for seen in announced
        ]
    )
