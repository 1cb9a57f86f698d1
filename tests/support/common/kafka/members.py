"""Members of a group for the tests of kafka-python's faults: ours, and as bare as a fault needs it."""

from kafka import KafkaConsumer

from common.kafka import clients
from common.kafka.guarded_consumer import GuardedConsumer
from tests.support.common.kafka.group import Lab


def member(lab: Lab, worker_id: str = "w0") -> GuardedConsumer:
    settings = lab.settings.model_copy(update={"worker_id": worker_id})
    return clients.consumer(settings, settings.kafka_group_id, 60000)


def member_options(lab: Lab) -> dict:
    return clients.consumer_options(lab.settings, lab.settings.kafka_group_id, 60000)


def dynamic_member(lab: Lab, **overrides) -> GuardedConsumer:
    """For faults that lie outside the guarded calls: without row 3's guard such tests would hang at times."""
    return GuardedConsumer(**{**dynamic_options(lab), **overrides})


def dynamic_options(lab: Lab) -> dict:
    """Of a member that leaves when it closes."""
    return {**member_options(lab), "group_instance_id": None}


def bare_member(lab: Lab, **options) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=lab.settings.kafka_bootstrap_servers,
        group_id=lab.settings.kafka_group_id,
        enable_auto_commit=False,
        max_poll_records=1,
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
        **options,
    )
