"""Builds the callback's body: once for a run, because the manifest keeps it and every try sends its bytes."""

from collections.abc import Callable, Mapping

from pydantic import ValidationError

from common.errors import ErrorCode, JobError
from common.storage.links import ResultLink, first_expiry_s
from common.tasks.messages import (
    FailureCallback,
    HookEvent,
    PublishedStem,
    Separated,
    SeparationFailed,
    SuccessCallback,
)


def success_body(result: Separated, links: Mapping[str, ResultLink], timestamp_s: float) -> bytes:
    """Returns the body for a success. `links`, by stem name, has one link for each stem of the result.

    `timestamp_s` is in seconds since the epoch.
    """
    callback = SuccessCallback(
        task_uuid=result.task_uuid,
        timestamp=timestamp_s,
        vocals=_url(links.get("vocals")),
        instrumental=_url(links.get("instrumental")),
        stems={
            name: PublishedStem(
                url=links[name].url, sha256=stem.sha256, bytes=stem.bytes, duration_s=stem.duration_s
            )
            for name, stem in result.stems.items()
        },
        model=result.model,
        device=result.device,
        runtime=result.runtime,
        precision=result.precision,
        precision_fallback=result.precision_fallback,
        gain=result.gain,
        choices=result.choices,
        models=result.models,
        output=result.output,
        version=result.version,
        cached_from=result.cached_from,
        label=result.label,
        metadata=result.metadata,
        expires_at=first_expiry_s(links.values()),
    )
    return callback.to_bytes()


def failure_of(result: SeparationFailed) -> FailureCallback:
    """Returns the callback of a failure, the same each time: its timestamp is the result's own."""
    return FailureCallback(
        task_uuid=result.task_uuid,
        timestamp=result.finished_at,
        error_code=result.error_code,
        error_message=result.error_message,
        label=result.label,
        metadata=result.metadata,
    )


def failure_body(result: SeparationFailed) -> bytes:
    return failure_of(result).to_bytes()


def as_success(body: bytes | None) -> SuccessCallback | None:
    """Returns the success that a manifest holds; None for another manifest, or for None."""
    try:
        return SuccessCallback.model_validate_json(body or b"")
    except ValidationError:
        return None


def as_failure(body: bytes) -> FailureCallback | None:
    """Returns the failure that a manifest holds; None for another manifest."""
    try:
        return FailureCallback.model_validate_json(body)
    except ValidationError:
        return None


def event_of(body: bytes) -> HookEvent:
    """Returns the end of which this callback tells."""
    failed = as_failure(body)
    if failed is None:
        return HookEvent.SUCCEEDED
    return HookEvent.CANCELLED if failed.error_code == ErrorCode.CANCELLED else HookEvent.FAILED


def as_failed(result: Separated, error: JobError, wall_clock: Callable[[], float]) -> SeparationFailed:
    """Returns the failure that replaces a result whose stems cannot be published."""
    return SeparationFailed(
        task_uuid=result.task_uuid,
        hook_url=result.hook_url,
        hook_events=result.hook_events,
        run=result.run,
        submitted_at=result.submitted_at,
        request_id=result.request_id,
        finished_at=wall_clock(),
        error_code=error.code,
        error_message=error.short_message,
        user=result.user,
        times=result.times,
        audio=result.audio,
        choices=result.choices,
        label=result.label,
        metadata=result.metadata,
        file_name=result.file_name,
        priority=result.priority,
    )


def _url(link: ResultLink | None) -> str | None:
    return link.url if link else None
