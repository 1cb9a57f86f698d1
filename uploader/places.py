"""Places for callbacks are limited by user and by receiver's host, and a run has one at a time."""

from urllib.parse import urlsplit

from common.jobs import retry
from common.jobs.places import Claim, Limits
from common.kafka.records import Record
from common.settings.schema import UploaderSettings
from common.tasks import messages
from common.tasks.messages import (
    BatchEnded,
    Deletion,
    HookTest,
    Redelivery,
    Separated,
    SeparationFailed,
    UndecodableMessage,
)

Called = Separated | SeparationFailed | Redelivery | BatchEnded | HookTest
_DEFAULT_PORTS = {"http": 80, "https": 443}


def callback_limits(settings: UploaderSettings) -> Limits:
    """Returns the limits of the settings. Limits that are not set follow from UPLOADER_SLOTS.

    All users together have at most half of the places at one host. So a host that hangs leaves the other half
    to all other hosts. One user alone cannot take the half of a host.
    """
    per_host = settings.callback_slots_per_host or settings.slots
    per_user = settings.callback_slots_per_user or 2 * per_host
    total = settings.callback_slots or 4 * per_user
    at_host = max(total // 2, min(total, 2 * per_host))
    return Limits(total, per_user, {"run": 1, "receiver": per_host, "host": at_host})


def callback_claim(result: Called) -> Claim:
    """Returns the place that the callback needs. Two callbacks of one run are never under way at once."""
    host = host_of_hook(result.hook_url or "")
    return Claim(
        result.user,
        (("run", run_id(result)), ("receiver", f"{host} {result.user}"), ("host", host)),
    )


def claim_of(record: Record) -> Claim | None:
    """Returns the place that a record needs before it begins; None unless only its callback is left to do."""
    try:
        result = messages.decode_result_record(record.value)
    except UndecodableMessage:
        return None
    if isinstance(result, Deletion) or result.hook_url is None or not _is_callback_alone(record, result):
        return None
    return callback_claim(result)


def run_id(result: Called) -> str:
    """Returns the callback's `webhook-id`: the same for every try of one run."""
    return f"{result.task_uuid}.{result.run}"


def _is_callback_alone(record: Record, result: Called) -> bool:
    if isinstance(result, Redelivery | BatchEnded | HookTest) or (
        isinstance(result, SeparationFailed) and result.unstored
    ):
        return True
    # A retry without a failed try was deferred because no place was free: its stems were published before.
    return retry.is_retry(record) and set(retry.history(record).failed_tries) <= {"callback"}


def host_of_hook(hook_url: str) -> str:
    """Returns host and port, or "" for an invalid address: the call itself refuses that."""
    try:
        parts = urlsplit(hook_url)
        return f"{(parts.hostname or '').rstrip('.')}:{parts.port or _DEFAULT_PORTS.get(parts.scheme)}"
    except ValueError:
        return ""
