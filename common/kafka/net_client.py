"""Closes what a Kafka client's constructor leaves behind when it raises, and tells why it did."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import KafkaConnectionError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector


@contextmanager
def cleaned_up_client() -> Iterator[Callable[..., KafkaNetClient]]:
    """Gives the argument `kafka_client` for clients made in the block; closes them when it raises.

    In kafka-python 3.0.12 a constructor that raises leaves its sockets to the garbage collector, and
    the admin client's its thread for ever: an outage of hours would leave thousands. What it raises says only
    that the time was up: it becomes a KafkaConnectionError that says why there was no connection.
    """
    made: list[KafkaNetClient] = []

    def make(**options: Any) -> KafkaNetClient:
        net = NetworkSelector(**options)
        made.append(_NetClient(net, _Manager(net, **options)))
        return made[-1]

    try:
        yield make
    except BaseException as error:
        for client in made:
            client.close()
        reasons = [repr(reason) for client in made for reason in client._manager.failures.values()]
        if isinstance(error, KafkaTimeoutError) and reasons:
            raise KafkaConnectionError("; ".join([str(error), *reasons])) from error
        raise


class _NetClient(KafkaNetClient):
    def await_ready(self, node_id: Any, timeout_ms: float = 30000) -> bool:
        """Row 18: the producer's sender expects False of a node that is away. By the error that comes instead
        it loses the transactional request it was about to send, and whoever waits for that waits for ever."""
        try:
            return super().await_ready(node_id, timeout_ms)
        except KafkaConnectionError:
            return False


class _Manager(KafkaConnectionManager):
    """Remembers why it could not connect: the first failure of each kind, as the last is a lack of time."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.failures: dict[type, BaseException] = {}

    async def _build_transport(self, *args: Any, **options: Any) -> Any:
        transport = await super()._build_transport(*args, **options)
        transport._sock_recv = _keeping_what_came(transport._sock_recv)
        return transport

    async def _connect(self, node: Any, conn: Any, *args: Any, **options: Any) -> None:
        await super()._connect(node, conn, *args, **options)
        if conn.init_future.failed():
            failure = conn.init_future.exception
            self.failures.setdefault(type(failure), failure)


def _keeping_what_came(receive: Callable[[], tuple[bytes, Exception | None]]):
    """Row 17: what has come together with the connection's end would be thrown away with it. A broker sends
    its reason to refuse an account just before it hangs up, and a client that is slow reads both at once.
    """

    def receive_and_keep() -> tuple[bytes, Exception | None]:
        data, error = receive()
        return data, None if data else error  # the end is still there for the next read

    return receive_and_keep
