"""Closes what a Kafka client's constructor leaves behind when it raises, and says why it raised.

"row N" is the fault's number in KAFKA_CONSUMER.md.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from selectors import EVENT_READ
from typing import Any

from kafka.errors import KafkaConnectionError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector, Task


@contextmanager
def cleaned_up_client() -> Iterator[Callable[..., KafkaNetClient]]:
    """Yield the argument `kafka_client` for clients made in the block. Close them if the block raises.

    In kafka-python 3.0.12 a constructor that raises leaves its sockets to the garbage collector. The admin
    client leaves its thread for ever, so an outage of hours would leave thousands. The KafkaTimeoutError says
    only that the time was up. It becomes a KafkaConnectionError that says why there was no connection.
    """
    made: list[KafkaNetClient] = []

    def make(**options: Any) -> KafkaNetClient:
        net = _Net(**options)
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


class _Net(NetworkSelector):  # type: ignore[misc]  # kafka-python has no types
    """Waits for sockets with fewer questions to the system than the base class asks."""

    _is_woken = False

    def register_event(self, fileobj: Any, event: int, task: Any) -> None:
        """Register a socket, as before each read and each write.

        The base class looks whether the socket is registered. Where it is not, as almost always, the error
        describes the socket with both of its addresses.
        """
        if fileobj.fileno() in list(self._selector.get_map() or ()):
            super().register_event(fileobj, event, task)
            return
        task = task if isinstance(task, Task) else Task(task)
        self._selector.register(fileobj, event, (task, None) if event == EVENT_READ else (None, task))

    def wakeup(self) -> None:
        """Wake the thread, unless another call has just done so."""
        if not self._is_woken:
            self._is_woken = True
            super().wakeup()

    def _process_events(self, event_list: Any) -> None:
        super()._process_events(event_list)
        # After the wake-up is taken, and before the thread looks at what there is to do: whoever was not to
        # wake it has put its work there before.
        self._is_woken = False


class _NetClient(KafkaNetClient):  # type: ignore[misc]  # kafka-python has no types
    def await_ready(self, node_id: Any, timeout_ms: float = 30000) -> bool:
        """Return False for a node that is away.

        Row 18: the producer's sender expects False. The client raises instead, and then the sender loses the
        transactional request that it was about to send. The thread that waits for that would wait for ever.
        """
        try:
            return bool(super().await_ready(node_id, timeout_ms))
        except KafkaConnectionError:
            return False


class _Manager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python has no types
    """Remembers why connections failed: the first failure of each kind, since the last is only a time-out."""

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


_Receive = Callable[[], tuple[bytes, Exception | None]]


def _keeping_what_came(receive: _Receive) -> _Receive:
    """Return a `receive` that keeps the data that came together with the connection's end.

    Row 17: the client would throw that data away. A broker that refuses an account sends its reason just
    before it hangs up, and a slow client reads both at once.
    """

    def receive_and_keep() -> tuple[bytes, Exception | None]:
        data, error = receive()
        return data, None if data else error  # the next read finds the end again

    return receive_and_keep
