"""`POST /hooks/test`: send a signed example to a receiver, and tell what came of it."""

import asyncio
import logging
import math
import time
from contextlib import suppress
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError

from api.http.body import read_body
from api.problems import ProblemError, explain
from api.publishing.unavailable import confirmed_in_time
from api.routes.access import User
from api.routes.parts import AppParts, Parts
from api.routes.responses import SECONDS, Answers, answer, answers_about_tasks, problem_answer, reference
from api.submit.hook_test import HookTestRequest, HookTestResult
from common.errors import PermanentError
from common.observability.log import current_request_id
from common.outbound.addresses import validate_text, without_secrets
from common.tasks.messages import DeliveryAttempt, HookTest

log = logging.getLogger(__name__)
router = APIRouter(prefix="/hooks", tags=["hooks"])

PER_MINUTE = 10
TOO_MANY = "too_many_hook_tests"
# Longer than an uploader waits for the receiver by default (CALLBACK_TIMEOUT_S).
_PATIENCE_S = 40.0
_LOOK_EVERY_S = 0.1
_NOT_SENT = "The test could not be queued in time; please ask for it again"
_NO_NEWS = "No uploader has reported the test in time; please try again later"


_ANSWERS: Answers = answers_about_tasks(
    answer(
        "The receiver was called, or could not be: `delivered` says which",
        HookTestResult(
            webhook_id="5f0c6a4e-9d0b-4f63-8f0a-0c7b8f1d2a3e.1", delivered=True, status=204, took_s=0.08
        ),
    )
) | {
    400: problem_answer(
        400,
        "The body or the address is wrong",
        "hook_url: The address is not valid: it must begin with http:// or https://",
        error_code="address_invalid",
    ),
    408: problem_answer(
        408, "The body came too slowly", "The body did not arrive within 10 s; please send it again"
    ),
    413: problem_answer(
        413,
        "The body is larger than MAX_BODY_BYTES",
        "The body is larger than 65536 bytes, the limit by MAX_BODY_BYTES",
    ),
    429: problem_answer(
        429,
        f"More than {PER_MINUTE} tests of yours in a minute (`{TOO_MANY}`), or too many wrong credentials "
        "came from this address",
        "You have asked for too many tests; please ask again in 6 s",
        error_code=TOO_MANY,
        Retry_After=SECONDS,
    ),
    503: problem_answer(
        503,
        "Kafka has not confirmed the test in time, or no uploader has reported it",
        _NO_NEWS,
        Retry_After=SECONDS,
    ),
}


async def _wanted(request: Request, user: User, parts: Parts) -> HookTestRequest:
    """Return the body, after the sign-in. Raise ProblemError."""
    body = await read_body(request, parts.settings.max_body_bytes)
    try:
        wanted = HookTestRequest.model_validate_json(body or b"{}")
        validate_text(wanted.hook_url, parts.policy)
    except ValidationError as error:
        raise ProblemError(400, explain(error.errors(include_url=False, include_input=False))) from None
    except PermanentError as error:
        raise ProblemError(400, f"hook_url: {error.message}", error_code=error.code) from None
    return wanted


@router.post(
    "/test",
    summary="Try a receiver",
    response_model_exclude_none=True,
    responses=_ANSWERS,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": reference(HookTestRequest),
                    "example": {"hook_url": "https://example.com/hook"},
                }
            },
        }
    },
)
async def hook_test(
    wanted: Annotated[HookTestRequest, Depends(_wanted)], user: User, parts: Parts
) -> HookTestResult:
    """Send an example, signed as callbacks are, once. The answer comes with the receiver's."""
    _count(user, parts)
    test = HookTest(
        test_uuid=uuid4(),
        hook_url=wanted.hook_url,
        requested_at=time.time(),
        user=user,
        request_id=current_request_id(),
    )
    with confirmed_in_time("Hook test not queued", _NOT_SENT):
        await parts.publisher.publish(test)
    log.info("Hook test for %s: %s", user, without_secrets(wanted.hook_url))
    found = await _reported(test, parts)
    return HookTestResult(
        webhook_id=f"{test.test_uuid}.1",
        delivered=found.error_code is None,
        status=found.status,
        took_s=round(found.took_s, 3),
        error_code=found.error_code,
        error_message=found.error_message,
    )


def _count(user: str, parts: AppParts) -> None:
    """Count a test. Raise ProblemError 429 if there were too many."""
    wait_s = math.ceil(parts.hook_tests.retry_after_s(user))
    if wait_s:
        raise ProblemError(
            429,
            f"You have asked for too many tests; please ask again in {wait_s} s",
            error_code=TOO_MANY,
            headers={"Retry-After": str(wait_s)},
        )
    parts.hook_tests.take(user)


async def _reported(test: HookTest, parts: AppParts) -> DeliveryAttempt:
    """Return the record of the try. Raise ProblemError 503 if there is none in time, or the service stops."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            found: list[DeliveryAttempt] = []
            while not found and not parts.view.is_ending:
                await asyncio.sleep(_LOOK_EVERY_S)
                found = await parts.view.deliveries(test.test_uuid)
            if found:
                return found[0]
    raise ProblemError(503, _NO_NEWS, headers={"Retry-After": "10"})
