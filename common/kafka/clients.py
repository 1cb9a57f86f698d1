"""Kafka's clients with the settings and guards that kafka-python 3.0.12 needs.

"row N" is the fault's number in KAFKA_CONSUMER.md.
"""

import logging
import sys
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import MemberToRemove
from kafka.errors import KafkaError

from common.kafka.assignor import EvenTopicsAssignor
from common.kafka.guarded_consumer import GuardedConsumer
from common.kafka.net_client import cleaned_up_client
from common.settings.schema import KafkaSettings, TransactionSettings, WorkerSettings

log = logging.getLogger(__name__)

# Row 15: a fetched batch is drained before the next partition gets a turn; our records are small.
_MAX_PARTITION_FETCH_BYTES = 4096
# Row 13: the producer sleeps this long whenever the last transaction's markers are still being written. It
# also looks this often for the answer of a broker that hangs, which costs a few percent of a core.
_RETRY_BACKOFF_MS = 2
_PRODUCER_MAX_BLOCK_MS = 15000
_CLOSE_TIMEOUT_MS = 2000
# Callers try again; a longer wait would only make them deaf to SIGTERM.
_BOOTSTRAP_TIMEOUT_MS = 5000
# The default of 30 s outlasts a session: after an outage the members would come back too late to keep their
# partitions, and every running job would be done again.
_RECONNECT_BACKOFF_MAX_MS = 1000


def kafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """How to reach Kafka, as arguments of any client of kafka-python."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "security_protocol": settings.kafka_security_protocol,
        "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
        "reconnect_backoff_max_ms": _RECONNECT_BACKOFF_MAX_MS,
    }
    if settings.kafka_sasl_mechanism:
        password = settings.kafka_sasl_password
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_check_hostname"] = settings.kafka_ssl_check_hostname
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path = getattr(settings, f"kafka_{name}")
            if path is not None:
                options[name] = str(path)
    return options


def tell_brokers(settings: KafkaSettings) -> None:
    """Says on standard error which brokers a command is about to ask, for the eyes of whoever typed it.

    What the client itself says of a lost broker, many times over, is left to the command to say once.
    """
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    print(f"asking Kafka at {settings.kafka_bootstrap_servers}", file=sys.stderr, flush=True)


def instance_id(settings: WorkerSettings) -> str:
    """The static member's `group.instance.id`."""
    return settings.worker_id


def consumer(settings: WorkerSettings, group_id: str, max_poll_interval_ms: int) -> GuardedConsumer:
    """A consumer that is not subscribed yet. Raises KafkaError."""
    return GuardedConsumer(**consumer_options(settings, group_id, max_poll_interval_ms))


def consumer_options(settings: WorkerSettings, group_id: str, max_poll_interval_ms: int) -> dict[str, Any]:
    """The arguments of a worker's consumer; KAFKA_CONSUMER.md says why each is as it is."""
    return {
        **kafka_options(settings),
        "group_id": group_id,
        "group_instance_id": instance_id(settings),
        "enable_auto_commit": False,
        "max_poll_records": 1,
        "max_poll_interval_ms": max_poll_interval_ms,
        "session_timeout_ms": settings.kafka_session_timeout_ms,
        # By these the others hear of a rebalance: a restarted leader waits for them.
        "heartbeat_interval_ms": min(1000, settings.kafka_session_timeout_ms // 4),
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        # Row 2: eager assignors hand a partition back with the client's old position.
        "partition_assignment_strategy": [EvenTopicsAssignor],
        "max_partition_fetch_bytes": _MAX_PARTITION_FETCH_BYTES,
        # Row 16: the client's defaults are `latest` and auto-creation.
        "allow_auto_create_topics": False,
        "metadata_max_age_ms": 60000,
    }


def close_consumer(client: KafkaConsumer) -> None:
    try:
        client.close(autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)
    except KafkaError as error:
        log.info("closing the consumer: %r", error)


def transactional_producer(
    settings: TransactionSettings, transactional_id: str, **overrides: Any
) -> KafkaProducer:
    """A producer whose earlier self's open transaction has been ended. Raises KafkaError."""
    options = {
        **kafka_options(settings),
        "transactional_id": transactional_id,
        "acks": "all",
        "transaction_timeout_ms": settings.kafka_transaction_timeout_ms,
        "retry_backoff_ms": _RETRY_BACKOFF_MS,
        "max_block_ms": _PRODUCER_MAX_BLOCK_MS,
        "allow_auto_create_topics": False,
        **overrides,
    }
    with cleaned_up_client() as net_client:
        producer = KafkaProducer(**options, kafka_client=net_client)
    try:
        producer.init_transactions()
    except BaseException:
        discard_producer(producer)
        raise
    return producer


def idempotent_producer(settings: KafkaSettings, **overrides: Any) -> KafkaProducer:
    """A producer without transactions: each record is sent at once, and in order. Raises KafkaError."""
    with cleaned_up_client() as net_client:
        options = {
            **kafka_options(settings),
            "kafka_client": net_client,
            "acks": "all",
            "enable_idempotence": True,
            # Records that come while another is under way share the next request anyway.
            "linger_ms": 0,
            "allow_auto_create_topics": False,
            **overrides,
        }
        return KafkaProducer(**options)


def discard_producer(producer: KafkaProducer) -> None:
    """Ends a producer at once, whatever it still holds."""
    try:
        producer.close(timeout=0)
    except (KafkaError, AssertionError, ValueError) as error:
        # Row 12: close(0) raises with batches open and leaves its thread.
        log.debug("closing the producer: %r", error)
        producer._sender.force_close()


def admin(settings: KafkaSettings, **overrides: Any) -> KafkaAdminClient:
    """Raises KafkaError."""
    with cleaned_up_client() as net_client:
        return KafkaAdminClient(**{**kafka_options(settings), "kafka_client": net_client, **overrides})


def leave_group(settings: WorkerSettings, group_id: str) -> None:
    """Row 11: a static member never leaves by `close()`; this hands its partitions on at once."""
    client = admin(settings)
    try:
        client.remove_group_members(group_id, [MemberToRemove(group_instance_id=instance_id(settings))])
    finally:
        client.close()
