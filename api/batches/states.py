"""Counts the tasks of a batch by their states."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from common.tasks.messages import State, TaskBatch, item_uuids


def count_states(batch: TaskBatch, known: Mapping[UUID, State]) -> dict[State, int]:
    """Return the number of tasks in each state that any is in, in the order of the states.

    A task that the view has not read yet is queued: the batch is in Kafka as a whole.
    """
    ids = item_uuids(batch.batch_uuid, 0, batch.count)
    counts = Counter(known.get(one, State.QUEUED) for one in ids)
    return {state: counts[state] for state in State if counts[state]}
