"""Names partitions in few words, for people who read logs and `/readyz`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from kafka import TopicPartition


def partition_names(partitions: Iterable[TopicPartition]) -> str:
    """Return a text such as `uvr_tasks 0-5 8, uvr_tasks_retry_30s 0-11`."""
    numbers = defaultdict(list)
    for partition in partitions:
        numbers[partition.topic].append(partition.partition)
    return (
        ", ".join(f"{topic} {_ranges(sorted(found))}" for topic, found in sorted(numbers.items())) or "none"
    )


def _ranges(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
