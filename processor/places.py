"""The places for downloads: a number in all, and a limit for each user."""

from common.jobs.places import Claim, Limits
from common.kafka.records import Record
from common.settings.schema import ProcessorSettings
from common.tasks import messages
from common.tasks.messages import Task, UndecodableMessage


def download_limits(settings: ProcessorSettings) -> Limits:
    """The settings' limits; those that are not set follow from PROCESSOR_SLOTS.

    There is none for a host: many users' songs lie at the same few hosts, and one user could take them all.
    """
    per_user = settings.download_slots_per_user or max(2, settings.slots)
    return Limits(settings.download_slots or 4 * per_user, per_user)


def download_claim(task: Task) -> Claim:
    return Claim(task.user)


def claim_of(record: Record) -> Claim | None:
    """The place that a record needs before it is begun."""
    try:
        return download_claim(messages.decode_task(record.value))
    except UndecodableMessage:
        return None
