"""Creates the topics with explicit settings, so that the broker's auto-creation is never needed."""

import logging
import math

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import NoError, TopicAlreadyExistsError, for_code

from common.kafka import lanes, retry_topics
from common.settings.schema import KafkaSettings

log = logging.getLogger(__name__)

# How long uvr_status still tells a task's fate after the task's own record has expired.
STATUS_RETENTION_S = 30 * 24 * 3600
_ANNOUNCEMENT_RETENTION_MS = 24 * 3600 * 1000
_ANNOUNCEMENT_SEGMENT_MS = 3600 * 1000
# Kafka refuses a request that would make more than 10,000 partitions.
_MAX_PARTITIONS_AT_ONCE = 5000


def names(settings: KafkaSettings) -> tuple[str, ...]:
    bases = (settings.kafka_task_topic, settings.kafka_result_topic)
    _, *other_lanes = lanes.topics(settings.kafka_task_topic)
    delays_s = retry_topics.with_brief(settings.retry_delays_s)
    waiting = [name for base in bases for name in retry_topics.topics(base, delays_s)]
    others = (settings.kafka_dead_letter_topic, settings.kafka_delivery_topic)
    return (
        *bases,
        *other_lanes,
        *waiting,
        *others,
        settings.kafka_status_topic,
        settings.kafka_control_topic,
        settings.kafka_models_topic,
        settings.kafka_batch_topic,
    )


def ensure(admin: KafkaAdminClient, settings: KafkaSettings) -> set[str]:
    """Create the topics that are missing. Existing topics stay as they are. Raises KafkaError.

    Returns the names of all topics that exist then, those of other applications too.
    """
    existing = set(admin.list_topics())
    wanted = names(settings)
    missing = [_topic(name, settings) for name in wanted if name not in existing]
    at_once = max(1, _MAX_PARTITIONS_AT_ONCE // settings.kafka_topic_partitions)
    for first in range(0, len(missing), at_once):
        answer = admin.create_topics(missing[first : first + at_once], raise_errors=False)
        for created in answer["topics"]:
            error = for_code(created["error_code"])
            if error is TopicAlreadyExistsError:  # another service was faster
                continue
            if error is not NoError:
                raise error(f"topic {created['name']} cannot be created: {created['error_message']}")
            log.info("created topic %s with %d partitions", created["name"], settings.kafka_topic_partitions)
    return existing | set(wanted)


def _topic(name: str, settings: KafkaSettings) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=settings.kafka_topic_partitions,
        # -1: the broker's own default
        replication_factor=settings.kafka_replication_factor or -1,
        topic_configs=_configuration(name, settings),
    )


def status_retention_s(settings: KafkaSettings) -> int:
    """Returns for how long Kafka keeps a task's statuses and cancels, in whole seconds."""
    return max(STATUS_RETENTION_S, math.ceil(settings.kafka_retention_ms / 1000))


def _configuration(name: str, settings: KafkaSettings) -> dict[str, str]:
    if name in (settings.kafka_status_topic, settings.kafka_control_topic, settings.kafka_batch_topic):
        # Never shorter than the tasks' retention: a task that outlives its final status would be shown as
        # queued again, and a task that outlives its cancel would be done.
        retention_ms = status_retention_s(settings) * 1000
        return {"cleanup.policy": "compact,delete", "retention.ms": str(retention_ms)}
    if name == settings.kafka_models_topic:
        # Processors announce themselves each minute, so what is old is of nobody. Only closed segments are
        # compacted, and a new api reads all that is left.
        return {
            "cleanup.policy": "compact,delete",
            "retention.ms": str(_ANNOUNCEMENT_RETENTION_MS),
            "segment.ms": str(_ANNOUNCEMENT_SEGMENT_MS),
        }
    return {"cleanup.policy": "delete", "retention.ms": str(settings.kafka_retention_ms)}
