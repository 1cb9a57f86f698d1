"""Topics, records and committed offsets for tests of the worker loop and of the client under it."""

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import TransactionListing, TransactionState
from kafka.errors import KafkaError, NotLeaderForPartitionError
from kafka.structs import OffsetAndMetadata

from common.kafka import clients, lanes, topics
from common.kafka.lanes import DEFAULT_PRIORITY
from common.settings.loading import load
from common.settings.schema import ProcessorSettings
from tests.support.common.kafka import own_topics
from tests.support.waiting import wait_for

_DECIDED = {TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT}


class Lab:
    """Settings with topics and a group of their own, and what is in them."""

    def __init__(self, bootstrap: str, partitions: int = 2, delays_s: Sequence[int] = (1, 2)):
        tag = own_topics.new_tag(bootstrap)
        self.partition_count = partitions
        self.settings = load(ProcessorSettings).model_copy(
            update={
                "kafka_bootstrap_servers": bootstrap,
                "kafka_task_topic": f"tasks-{tag}",
                "kafka_result_topic": f"results-{tag}",
                "kafka_dead_letter_topic": f"dead-{tag}",
                "kafka_delivery_topic": f"deliveries-{tag}",
                "kafka_status_topic": f"status-{tag}",
                "kafka_control_topic": f"control-{tag}",
                "kafka_models_topic": f"models-{tag}",
                "kafka_batch_topic": f"batches-{tag}",
                "retry_delays_s": tuple(delays_s),
                "kafka_topic_partitions": partitions,
                "kafka_group_id": f"group-{tag}",
                "kafka_session_timeout_ms": 6000,
                "worker_id": "w0",
            }
        )
        admin = clients.admin(self.settings)
        with contextlib.closing(admin):
            topics.ensure(admin, self.settings)
            wait_for(
                lambda: have_leaders(admin, topics.names(self.settings)), 30, "leaders of the new topics"
            )

    @property
    def environment(self) -> dict[str, str]:
        """The same for a process."""
        s = self.settings
        return {
            "KAFKA_BOOTSTRAP_SERVERS": s.kafka_bootstrap_servers,
            "KAFKA_TASK_TOPIC": s.kafka_task_topic,
            "KAFKA_RESULT_TOPIC": s.kafka_result_topic,
            "KAFKA_DEAD_LETTER_TOPIC": s.kafka_dead_letter_topic,
            "KAFKA_DELIVERY_TOPIC": s.kafka_delivery_topic,
            "KAFKA_STATUS_TOPIC": s.kafka_status_topic,
            "KAFKA_CONTROL_TOPIC": s.kafka_control_topic,
            "KAFKA_MODELS_TOPIC": s.kafka_models_topic,
            "KAFKA_BATCH_TOPIC": s.kafka_batch_topic,
            "RETRY_DELAYS_S": ",".join(map(str, s.retry_delays_s)),
            "KAFKA_TOPIC_PARTITIONS": str(self.partition_count),
            "KAFKA_PROCESSOR_GROUP_ID": s.kafka_group_id,
            "KAFKA_SESSION_TIMEOUT_MS": str(s.kafka_session_timeout_ms),
        }

    def partition(self, number: int) -> TopicPartition:
        return TopicPartition(self.settings.kafka_task_topic, number)

    def feed(
        self, values: Iterable[Any], partition: int | None = None, priority: int = DEFAULT_PRIORITY
    ) -> None:
        """JSON records into one lane; in turn over the partitions unless one is given."""
        producer = KafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap_servers, acks="all")
        with contextlib.closing(producer):
            for number, value in enumerate(values):
                producer.send(
                    lanes.topic(self.settings.kafka_task_topic, priority),
                    value if isinstance(value, bytes) else json.dumps(value).encode(),
                    key=str(number).encode(),
                    partition=number % self.partition_count if partition is None else partition,
                )
            producer.flush(30)

    def committed(self, partition: int) -> OffsetAndMetadata | None:
        consumer = KafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap_servers,
            group_id=self.settings.kafka_group_id,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        with contextlib.closing(consumer):
            return consumer.committed(self.partition(partition), metadata=True, timeout_ms=20000)

    def records(self, topic: str) -> list:
        """Every record of a topic that a reader of committed ones sees now."""
        return read_all(self.settings.kafka_bootstrap_servers, topic)

    def results(self) -> list[dict]:
        return [json.loads(r.value) for r in self.records(self.settings.kafka_result_topic)]

    def wait_for_results(self, count: int, timeout_s: float = 60) -> list[dict]:
        found = self.wait_for_records(self.settings.kafka_result_topic, count, timeout_s)
        return [json.loads(record.value) for record in found]

    def wait_for_records(self, topic: str, count: int = 1, timeout_s: float = 60) -> list:
        """Every record of a topic, once there are `count`."""
        with contextlib.closing(Reader(self.settings.kafka_bootstrap_servers, topic.__eq__)) as reader:
            return reader.wait_for(lambda found: len(found) >= count, timeout_s, f"{count} in {topic}")

    def members(self) -> dict[str, str]:
        """The group at the broker: member id by instance id."""
        admin = clients.admin(self.settings)
        with contextlib.closing(admin):
            group = self.settings.kafka_group_id
            described = admin.describe_groups([group])[group]
            return {m["group_instance_id"]: m["member_id"] for m in described["members"]}


def have_leaders(admin: KafkaAdminClient, names: Iterable[str]) -> bool:
    """Returns whether the leader of each partition answers, which it does not just after its creation."""
    partitions = {
        found["name"]: [
            TopicPartition(found["name"], partition["partition_index"]) for partition in found["partitions"]
        ]
        for found in admin.describe_topics(list(names))
    }
    if not all(partitions.values()):
        return False
    try:
        admin.describe_producers(list(itertools.chain.from_iterable(partitions.values())))
    except NotLeaderForPartitionError:
        return False
    return True


def produce(bootstrap: str, topic: str, *values: bytes) -> None:
    """Puts records into a topic, in order, and returns once they are there."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    with contextlib.closing(producer):
        for number, value in enumerate(values):
            # Compacted topics take none without a key, and tell only who asks.
            producer.send(topic, value, key=str(number).encode(), partition=0).get(30)


def read_all(bootstrap: str, topic: str) -> list:
    """Every record of a topic that a reader of committed ones sees now, undecoded."""
    with contextlib.closing(Reader(bootstrap, topic.__eq__)) as reader:
        return reader.read()


# The broker's own topic, which a client does not list.
OFFSETS_TOPIC = "__consumer_offsets"


class Reader:
    """Reads the topics with some names as a reader of committed records sees them, and reads on each time."""

    def __init__(self, bootstrap: str, wanted: Callable[[str], bool]):
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            reconnect_backoff_max_ms=1000,
        )
        self._found: list = []
        self._consumer.assign(
            [
                TopicPartition(topic, number)
                for topic in filter(wanted, {*self._consumer.topics(), OFFSETS_TOPIC})
                for number in self._consumer.partitions_for_topic(topic) or ()
            ]
        )
        self._admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def read(self) -> list:
        """All records until now, those of a partition in their order."""
        self._wait_for_markers()
        ends = self._consumer.end_offsets(list(self._consumer.assignment()))
        while any(self._consumer.position(p) < end for p, end in ends.items()):
            self._poll()
        return self._found

    def wait_for(self, is_enough: Callable[[list], bool], timeout_s: float, what: str) -> list:
        """The same, once those that have come are enough.

        Meanwhile the broker holds each request. To read on and on would ask it for ends and transactions.
        """

        def have_come() -> bool:
            self._poll()
            return is_enough(self._found)

        wait_for(have_come, timeout_s, what)
        return self.read()

    def _poll(self) -> None:
        for batch in self._consumer.poll(timeout_ms=500).values():
            self._found += batch

    def _wait_for_markers(self) -> None:
        """A commit may return before its markers are written, and until then readers see none of it."""
        before: set[TransactionListing] | None = None

        def are_written() -> bool:
            nonlocal before
            try:
                listed = itertools.chain.from_iterable(self._admin.list_transactions().values())
            except KafkaError:
                return False  # a broker that has just started cannot tell yet
            now = {transaction for transaction in listed if transaction.state in _DECIDED}
            before = now if before is None else before & now
            return not before

        wait_for(are_written, 30, "markers of decided transactions")

    def close(self) -> None:
        self._consumer.close()
        self._admin.close()


class Polling:
    """Polls a consumer from a thread of its own, so that its group goes on."""

    def __init__(self, consumer: KafkaConsumer):
        self.consumer = consumer
        self.records: list = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._stop.is_set():
            # Long polls: short ones of a bare client starve its rebalance on a busy machine (row 4).
            for batch in self.consumer.poll(timeout_ms=1000).values():
                self.records += batch

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


Register = Callable[[Any], Any]


@contextlib.contextmanager
def closing_all() -> Iterator[Register]:
    """Closes what was registered, last first."""
    with contextlib.ExitStack() as stack:

        def register(client: Any) -> Any:
            stack.callback(_close, client)
            return client

        yield register


def _close(client: Any) -> None:
    if isinstance(client, KafkaProducer):
        clients.discard_producer(client)
    elif isinstance(client, KafkaConsumer):
        clients.close_consumer(client)
    elif isinstance(client, Polling):
        client.stop()
        clients.close_consumer(client.consumer)
    else:
        client.close()
