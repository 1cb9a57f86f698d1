"""Reads what comes to a topic from now on, shared among the members of a group. Records may be lost."""

from kafka import KafkaConsumer

from common.kafka import clients
from common.kafka.net_client import cleaned_up_client
from common.settings.schema import KafkaSettings


def news_consumer(settings: KafkaSettings, group_id: str) -> KafkaConsumer:
    """Return a consumer with nothing subscribed yet, for readers to whom a lost record does no harm.

    Its group begins at the topics' ends, and commits by itself. Raises KafkaError.
    """
    with cleaned_up_client() as net_client:
        return KafkaConsumer(
            **clients.kafka_options(settings),
            **clients.WITHOUT_METRICS,
            **clients.LONG_FETCHES,
            kafka_client=net_client,
            group_id=group_id,
            auto_offset_reset="latest",
            enable_auto_commit=True,
            allow_auto_create_topics=False,
        )
