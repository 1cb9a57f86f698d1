"""The callback's body: built once, kept in the manifest, and sent with the same bytes ever after."""

from collections.abc import Callable, Mapping

from pydantic import ValidationError

from common.errors import JobError
from common.storage.links import ResultLink, first_expiry_s
from common.tasks.messages import FailureCallback, PublishedStem, Separated, SeparationFailed, SuccessCallback


def success_body(result: Separated, links: Mapping[str, ResultLink], timestamp_s: float) -> bytes:
    """`links` by stem name, one for each stem of the result."""
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
        gain=result.gain,
        expires_at=first_expiry_s(links.values()),
    )
    return callback.to_bytes()


def failure_of(result: SeparationFailed) -> FailureCallback:
    """The same each time: even the timestamp is the result's own."""
    return FailureCallback(
        task_uuid=result.task_uuid,
        timestamp=result.finished_at,
        error_code=result.error_code,
        error_message=result.error_message,
    )


def failure_body(result: SeparationFailed) -> bytes:
    return failure_of(result).to_bytes()


def as_success(body: bytes | None) -> SuccessCallback | None:
    """What a manifest holds that tells of a success; None for any other, and for none."""
    try:
        return SuccessCallback.model_validate_json(body or b"")
    except ValidationError:
        return None


def as_failure(body: bytes) -> FailureCallback | None:
    """What a manifest holds that tells of a failure for certain."""
    try:
        return FailureCallback.model_validate_json(body)
    except ValidationError:
        return None


def as_failed(result: Separated, error: JobError, wall_clock: Callable[[], float]) -> SeparationFailed:
    """What a result becomes whose stems cannot be published."""
    return SeparationFailed(
        task_uuid=result.task_uuid,
        hook_url=result.hook_url,
        run=result.run,
        submitted_at=result.submitted_at,
        request_id=result.request_id,
        finished_at=wall_clock(),
        error_code=error.code,
        error_message=error.short_message,
        user=result.user,
        times=result.times,
        audio=result.audio,
    )


def _url(link: ResultLink | None) -> str | None:
    return link.url if link else None
