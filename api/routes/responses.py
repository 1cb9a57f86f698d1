"""Answers as the OpenAPI document describes them, each with an example."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from api.problems import MEDIA_TYPE, UNEXPECTED_ERROR, Problem
from common.tasks.messages import State

Answer = dict[str, Any]
Answers = dict[int | str, Answer]

SECONDS = {"schema": {"type": "integer"}, "description": "seconds after which another request makes sense"}


def answer(when: str, example: object, media_type: str = "application/json") -> Answer:
    """Describe an answer that is no error. `example` is JSON, a model, or text of another media type."""
    shown = example.model_dump(mode="json", exclude_none=True) if isinstance(example, BaseModel) else example
    return {"description": when, "content": {media_type: {"example": shown}}}


def problem_answer(
    status: int,
    when: str,
    detail: str,
    *,
    error_code: str | None = None,
    task_uuid: UUID | None = None,
    state: State | None = None,
    **headers: object,
) -> Answer:
    """Describe an answer that is a problem. `headers` are given by name, with `_` for `-`."""
    example = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        error=detail,
        error_code=error_code,
        task_uuid=task_uuid,
        state=state,
    )
    content = {
        "schema": reference(Problem),
        "example": example.model_dump(mode="json", exclude_none=True),
    }
    documented = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"description": when, "headers": documented, "content": {MEDIA_TYPE: content}}


def reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


UNAUTHORIZED = problem_answer(
    401,
    "No credentials, or wrong ones",
    "Authentication is required: send a user name and a password by HTTP Basic",
    WWW_Authenticate={"schema": {"type": "string"}, "description": "`Basic realm=…`"},
)
FORBIDDEN = problem_answer(
    403,
    "A web page of another site sent the request (`cross_origin`), the request is for a host that the api "
    "does not answer for (`host_not_allowed`), or it is for administrators alone (`not_an_admin`)",
    "The request comes from a web page of another site: name its origin in CORS_ORIGINS if it may use the "
    "api; behind a proxy, hand on Host or X-Forwarded-Host",
    error_code="cross_origin",
)
UNEXPECTED = problem_answer(500, "An unexpected error", UNEXPECTED_ERROR)
_TOO_MANY_FAILURES = problem_answer(
    429,
    "Too many wrong credentials came from this address",
    "Too many failed sign-ins from this address; please try again in 6 s",
    Retry_After=SECONDS,
)
_NOT_UP_TO_DATE = problem_answer(
    503,
    "The api does not know the current state of tasks (for a moment after a start, or while Kafka is "
    "unreachable), or too many sign-ins are being checked",
    "The api does not know the current state of tasks yet; please try again: 12 records are still to be read",
    Retry_After=SECONDS,
)
_NO_SUCH_TASK = problem_answer(404, "There is no such task, or it is another user's", "There is no such task")


def answers_about_tasks(success: Answer) -> Answers:
    """Return all answers of a route that reads tasks."""
    return {
        200: success,
        400: problem_answer(400, "A parameter is wrong", "limit: Input should be less than or equal to 200"),
        401: UNAUTHORIZED,
        403: FORBIDDEN,
        429: _TOO_MANY_FAILURES,
        503: _NOT_UP_TO_DATE,
        "default": UNEXPECTED,
    }


def answers_about_offers(success: Answer) -> Answers:
    """Return all answers of a route that tells what the processors can do."""
    return {number: given for number, given in answers_about_tasks(success).items() if number != 400}


def answers_about_one_task(success: Answer) -> Answers:
    """Return all answers of a route that reads one task."""
    return answers_about_tasks(success) | {404: _NO_SUCH_TASK}


def answers_to_a_change(success: Answer, conflict: Answer, unavailable: str) -> Answers:
    """Return all answers of a route that changes what happens to a task.

    `conflict` is the answer where the change is impossible. `unavailable` is the detail of the problem where
    Kafka has not stored the change in time.
    """
    return {
        202: success,
        400: problem_answer(400, "The id is not valid", "task_uuid: Input should be a valid UUID"),
        401: UNAUTHORIZED,
        403: FORBIDDEN,
        404: _NO_SUCH_TASK,
        409: conflict,
        429: _TOO_MANY_FAILURES,
        503: problem_answer(
            503,
            "Kafka has not confirmed the request in time (it may take effect nevertheless), the api does not "
            "know the current state of tasks, or too many sign-ins are being checked",
            unavailable,
            Retry_After=SECONDS,
        ),
        "default": UNEXPECTED,
    }
