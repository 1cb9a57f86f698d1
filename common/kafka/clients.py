"""Makes Kafka's clients with the settings and guards that kafka-python 3.0.12 needs.

"row N" is the fault's number in KAFKA_CONSUMER.md.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import MemberToRemove
from kafka.errors import KafkaError

from common.kafka.assignor import EvenTopicsAssignor
from common.kafka.group_producer import GroupProducer
from common.kafka.guarded_consumer import GuardedConsumer
from common.kafka.net_client import cleaned_up_client
from common.settings.schema import KafkaSettings, TransactionSettings, WorkerSettings

log = logging.getLogger(__name__)

# Row 15: a fetched batch is drained before the next partition gets a turn; our records are small.
_MAX_PARTITION_FETCH_BYTES = 4096
# Row 13: the producer sleeps this long whenever the last transaction's markers are still being written. The
# producer also checks this often for the answer of a broker that hangs, which costs a few percent of a core.
_RETRY_BACKOFF_MS = 2
_PRODUCER_MAX_BLOCK_MS = 15000
_CLOSE_TIMEOUT_MS = 2000
# Callers try again. During a longer wait they would not react to SIGTERM.
_BOOTSTRAP_TIMEOUT_MS = 5000
# The client's default of 30 s is longer than a session. After an outage the members would come back too late
# to keep their partitions, and every running job would be done again.
_RECONNECT_BACKOFF_MAX_MS = 1000
# The client's own counters. Nobody reads them, and they take a part of its time with each record.
WITHOUT_METRICS = {"metrics_enabled": False}
# How long a broker keeps a request open until there is a record, with which it then answers at once. With the
# client's 500 ms each reader asks for nothing twice a second, which costs both sides CPU. A partition that is
# assigned meanwhile waits for the answer, so workers, which pause and resume partitions, keep the 500 ms.
LONG_FETCHES = {"fetch_max_wait_ms": 5000}


def kafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments by which any client of kafka-python reaches Kafka."""
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
    """Print on standard error which brokers a command is about to ask.

    The client's own log lines are turned off: it repeats that a broker is lost, which the command says once.
    """
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    print(f"asking Kafka at {settings.kafka_bootstrap_servers}", file=sys.stderr, flush=True)


def instance_id(settings: WorkerSettings) -> str:
    """Return the static member's `group.instance.id`."""
    return settings.worker_id


def consumer(settings: WorkerSettings, group_id: str, max_poll_interval_ms: int) -> GuardedConsumer:
    """Return a client that is not subscribed yet. Raises KafkaError."""
    return GuardedConsumer(**consumer_options(settings, group_id, max_poll_interval_ms))


def consumer_options(settings: WorkerSettings, group_id: str, max_poll_interval_ms: int) -> dict[str, Any]:
    """Return the arguments of a worker's consumer. KAFKA_CONSUMER.md gives the reason for each."""
    return {
        **kafka_options(settings),
        "group_id": group_id,
        "group_instance_id": instance_id(settings),
        "enable_auto_commit": False,
        "max_poll_records": 1,
        "max_poll_interval_ms": max_poll_interval_ms,
        "session_timeout_ms": settings.kafka_session_timeout_ms,
        # A heartbeat's answer tells a member of a rebalance: a restarted leader waits until all have heard.
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
    """End the consumer's connections, and log what fails with that."""
    try:
        client.close(autocommit=False, timeout_ms=_CLOSE_TIMEOUT_MS)
    except KafkaError as error:
        log.info("closing the consumer: %r", error)


def transactional_producer(
    settings: TransactionSettings, transactional_id: str, **overrides: Any
) -> KafkaProducer:
    """Return a producer once the open transaction of the earlier one is over. Raises KafkaError."""
    producer = _producer(
        {
            **kafka_options(settings),
            "transactional_id": transactional_id,
            "transaction_timeout_ms": settings.kafka_transaction_timeout_ms,
            "retry_backoff_ms": _RETRY_BACKOFF_MS,
            "max_block_ms": _PRODUCER_MAX_BLOCK_MS,
            **overrides,
        }
    )
    try:
        producer.init_transactions()
    except BaseException:
        discard_producer(producer)
        raise
    return producer


def idempotent_producer(settings: KafkaSettings, **options: Any) -> KafkaProducer:
    """Return a producer without transactions, which sends each record at once. Raises KafkaError.

    `options` are further ones of the client.
    """
    return _producer({**kafka_options(settings), "enable_idempotence": True, "linger_ms": 0, **options})


def group_producer(settings: KafkaSettings, **options: Any) -> KafkaProducer:
    """Return a producer without transactions, whose records go out by `flush` alone. Raises KafkaError."""
    return _producer({**kafka_options(settings), "enable_idempotence": True, **options}, GroupProducer)


def _producer(options: Mapping[str, Any], kind: type[KafkaProducer] = KafkaProducer) -> KafkaProducer:
    with cleaned_up_client() as net_client:
        return kind(
            **{"acks": "all", "allow_auto_create_topics": False, **WITHOUT_METRICS, **options},
            kafka_client=net_client,
        )


def discard_producer(producer: KafkaProducer) -> None:
    """End a producer at once, whatever it still holds."""
    try:
        producer.close(timeout=0)
    except (KafkaError, AssertionError, ValueError) as error:
        # Row 12: close(0) raises with batches open and leaves its thread.
        log.debug("closing the producer: %r", error)
        producer._sender.force_close()


def admin(settings: KafkaSettings, **options: Any) -> KafkaAdminClient:
    """Return an admin client. `options` are further ones of the client. Raises KafkaError."""
    with cleaned_up_client() as net_client:
        return KafkaAdminClient(**{**kafka_options(settings), **options}, kafka_client=net_client)


def leave_group(settings: WorkerSettings, group_id: str) -> None:
    """Remove this worker from its group, so that its partitions move at once. Raises KafkaError.

    Row 11: a static member never leaves by `close()`.
    """
    client = admin(settings)
    try:
        client.remove_group_members(group_id, [MemberToRemove(group_instance_id=instance_id(settings))])
    finally:
        client.close()
