"""`GET /tasks/{task_uuid}/peaks.json`: what a page needs to draw the stems."""

from fastapi import APIRouter
from fastapi.responses import Response

from api.problems import ProblemError
from api.routes.access import VisibleTask
from api.routes.bucket_problems import bucket_read
from api.routes.parts import Parts
from api.routes.responses import Answers, answer, answers_about_one_task, problem_answer
from api.routes.stems import DELETED, NO_STEMS_EXAMPLE, result_of
from common.storage.bucket_keys import RunKeys
from common.tasks.messages import State

router = APIRouter(prefix="/tasks", tags=["tasks"])

NO_PEAKS = "no_peaks"
_NO_PEAKS = "The task's stems have no peaks: an earlier version has made them"
_EXAMPLE = {"version": 1, "resolutions": [{"points_per_s": 8.0, "stems": {"vocals": "AAcVP2E…"}}]}
_ANSWERS: Answers = answers_about_one_task(
    answer(
        "At each of two resolutions a text in Base64 for each stem. Each byte is the largest sample in a "
        "span of time, in all channels: 255 is full scale",
        _EXAMPLE,
    )
) | {
    409: problem_answer(
        409,
        "The task has no stems, or they have no peaks (`error_code` `no_peaks`)",
        NO_STEMS_EXAMPLE,
        state=State.SEPARATING,
    ),
    410: DELETED,
}


@router.get(
    "/{task_uuid}/peaks.json",
    summary="Draw the stems",
    response_class=Response,
    responses=_ANSWERS,
)
async def peaks(status: VisibleTask, parts: Parts) -> Response:
    """Send the loudness of a task's stems over time, so that a page can draw them without decoding them."""
    prefix = await parts.links.prefix(result_of(status))
    key = RunKeys(prefix, status.task_uuid, status.run).peaks
    with bucket_read():
        found = await parts.archives.ask(lambda reader: reader.small(key))
    if found is None:
        raise ProblemError(409, _NO_PEAKS, error_code=NO_PEAKS, state=status.state)
    return Response(found, media_type="application/json")
