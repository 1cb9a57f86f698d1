"""Limits how many downloads run at once, in all and for each user; and says which lane a task is in."""

from common.jobs.lanes import LaneRules, Ticket
from common.jobs.places import Claim, Limits
from common.kafka import lanes
from common.kafka.records import Record
from common.settings.schema import ProcessorSettings
from common.tasks import messages
from common.tasks.messages import Task, UndecodableMessage


def download_limits(settings: ProcessorSettings) -> Limits:
    """Return DOWNLOAD_SLOTS and DOWNLOAD_SLOTS_PER_USER; unset ones follow from PROCESSOR_SLOTS.

    Hosts have no limit: many users' songs lie at the same few hosts, and one user could fill such a limit.
    """
    per_user = settings.download_slots_per_user or max(2, settings.slots)
    return Limits(settings.download_slots or 4 * per_user, per_user)


def download_claim(task: Task) -> Claim:
    """Return the place that the task's download needs: one of its user's."""
    return Claim(task.user)


def claim_of(record: Record) -> Claim | None:
    """Return the place that a record needs before its job begins; None for an undecodable record."""
    try:
        return download_claim(messages.decode_task(record.value))
    except UndecodableMessage:
        return None


def lane_rules(settings: ProcessorSettings) -> LaneRules:
    """Return the lanes of the task topic. A task's own record says its lane, also in a retry topic."""
    _, *others = lanes.topics(settings.kafka_task_topic)
    return LaneRules(tuple(others), ticket_of)


def ticket_of(record: Record) -> Ticket:
    """Return the record's lane and user. An undecodable record has the default lane."""
    try:
        task = messages.decode_task(record.value)
    except UndecodableMessage:
        return Ticket()
    return Ticket(task.priority, task.user)
