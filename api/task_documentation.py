"""What the OpenAPI document says of `/tasks…`, beyond what FastAPI sees in the signatures."""

from typing import Any

from api.documentation import FORBIDDEN, SECONDS, TOO_MANY_FAILURES, UNAUTHORIZED, UNEXPECTED, problem
from common.tasks.messages import State

_TASK_UUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_SUBMITTED_AT = 1750000000.0
_SEPARATING = {
    "task_uuid": _TASK_UUID,
    "state": "separating",
    "progress": 0.55,
    "run": 1,
    "attempt": 1,
    "user": "alice",
    "audio": "https://example.com/song.mp3",
    "hook_host": "example.com",
    "submitted_at": _SUBMITTED_AT,
    "idempotency_key": "order-17",
    "updated_at": _SUBMITTED_AT + 9,
    "times": {
        "queued": _SUBMITTED_AT,
        "downloading": _SUBMITTED_AT + 1,
        "preparing": _SUBMITTED_AT + 4,
        "separating": _SUBMITTED_AT + 5,
    },
}
_SUCCEEDED = _SEPARATING | {
    "state": "succeeded",
    "progress": 1.0,
    "updated_at": _SUBMITTED_AT + 60,
    "times": {"queued": _SUBMITTED_AT, "delivering": _SUBMITTED_AT + 59, "succeeded": _SUBMITTED_AT + 60},
    "model": "UVR-MDX-NET-Inst_HQ_4",
    "device": "cuda",
}
_DELIVERY = {
    "run": 1,
    "try_number": 1,
    "started_at": _SUBMITTED_AT + 30,
    "took_s": 0.12,
    "status": 500,
    "error_code": "callback_failed",
    "error_message": "The callback was answered with status 500",
    "next_try_at": _SUBMITTED_AT + 60,
}
_AGAIN = {
    "run": 1,
    "try_number": 1,
    "started_at": _SUBMITTED_AT + 901,
    "took_s": 0.08,
    "status": 204,
    "redelivery_requested_at": _SUBMITTED_AT + 900,
}
_CURSOR = "QdoUzXwAAAB8nmZ5dCVA3pRL4H_B-Qrn"


def _answers(when: str, example: Any, media_type: str = "application/json") -> dict[int | str, Any]:
    return {
        200: {"description": when, "content": {media_type: {"example": example}}},
        400: problem(400, "A parameter is wrong", "limit: Input should be less than or equal to 200"),
        401: UNAUTHORIZED,
        403: FORBIDDEN,
        429: TOO_MANY_FAILURES,
        503: problem(
            503,
            "What is known of tasks is not up to date (for a moment after a start, or while Kafka is away), "
            "or too many sign-ins are being checked",
            "What is known of tasks is not up to date yet; please try again",
            Retry_After=SECONDS,
        ),
        "default": UNEXPECTED,
    }


def _one(when: str, example: Any, media_type: str = "application/json") -> dict[int | str, Any]:
    there_is_none = problem(404, "There is no such task, or it is another user's", "There is no such task")
    return _answers(when, example, media_type) | {404: there_is_none}


LIST: dict[str, Any] = {
    "summary": "List tasks",
    "responses": _answers(
        "A page of tasks", {"tasks": [_SEPARATING], "next": f"/tasks?limit=1&cursor={_CURSOR}"}
    ),
}
TASK: dict[str, Any] = {
    "summary": "Where a task is",
    "responses": _one("The task. What was submitted before the request, at any api, is found", _SEPARATING),
}
DELIVERIES: dict[str, Any] = {
    "summary": "A task's callbacks",
    "responses": _one(
        "Each try of a callback, the first one first; those of a redelivery are numbered from 1 again",
        {"deliveries": [_DELIVERY, _AGAIN]},
    ),
}
EVENTS: dict[str, Any] = {
    "summary": "Watch a task",
    "responses": _one(
        "Server-sent events: each `status` holds what `GET /tasks/{task_uuid}` says, and an id. The stream "
        "ends after the final state; a broken one goes on after `Last-Event-ID`; comments keep it open",
        'event: status\ndata: {"state": "queued", …}\nid: 1.0.0.0.0.0.0.0\n\n',
        "text/event-stream",
    )
    | {204: {"description": "Nothing comes after `Last-Event-ID`: the task is over"}},
}


def _accepted(when: str, example: Any, conflict: dict, unavailable: str) -> dict[int | str, Any]:
    """What a wish about a task is answered: `conflict` where it cannot be, `unavailable` is not in time."""
    answers = _one(when, example)
    return (
        {202: answers.pop(200)}
        | answers
        | {
            400: problem(400, "The id is none", "task_uuid: Input should be a valid UUID"),
            409: conflict,
            503: problem(
                503,
                "Kafka has not confirmed it in time (it may come to pass nevertheless), what is known of "
                "tasks is not up to date, or too many sign-ins are being checked",
                unavailable,
                Retry_After=SECONDS,
            ),
        }
    )


REDELIVER: dict[str, Any] = {
    "summary": "Send a task's callback again",
    "responses": _accepted(
        "It is queued: the broker has confirmed it. The task as it is, and as it stays",
        _SUCCEEDED,
        problem(
            409,
            "The task is not over yet (`state`), or nobody is to be called",
            "The task is not over: its callback is still to come",
            state=State.DELIVERING,
        ),
        "The redelivery could not be queued in time; please ask for it again",
    )
    | {
        429: problem(
            429,
            "Too many redeliveries of this task, or of yours (`error_code` `too_many_redeliveries`), or too "
            "many wrong credentials came from this address",
            "This task's callback was asked for too often; please ask again in 20 s",
            error_code="too_many_redeliveries",
            Retry_After=SECONDS,
        )
    },
}
CANCEL: dict[str, Any] = {
    "summary": "Cancel a task",
    "responses": _accepted(
        "The wish is stored: the task ends where it is, or when a worker reaches it, in "
        "the state `cancelled`, and its callback says `failed` with that `error_code`. Once its stems "
        "are published (`delivering`), and for a second time, it changes nothing. The task as it is now",
        _SEPARATING,
        problem(
            409, "The task is over, as its `state` says", "The task is over: succeeded", state=State.SUCCEEDED
        ),
        "The task could not be cancelled in time; please try again",
    ),
}
