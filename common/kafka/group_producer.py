"""A producer for groups of records: its thread is woken once for a group, and not for each record."""

from typing import Any

from kafka import KafkaProducer


class GroupProducer(KafkaProducer):  # type: ignore[misc]  # kafka-python has no types
    """Sends records with the next `flush`, all together. `send` and `flush` belong to one thread.

    kafka-python wakes its own thread for the first record that each partition gets. With linger that thread
    then finds nothing that may go yet. Such turns would cost as much as sending the group.
    """

    _adds = False

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._wake = self._sender.wakeup
        self._sender.wakeup = self._wake_unless_adding

    def send(self, *args: Any, **options: Any) -> Any:
        self._adds = True
        try:
            return super().send(*args, **options)
        finally:
            self._adds = False

    def _wait_on_metadata(self, *args: Any, **options: Any) -> Any:
        self._adds = False  # `send` waits here for what the other thread fetches
        return super()._wait_on_metadata(*args, **options)

    def _wake_unless_adding(self) -> None:
        if not self._adds:
            self._wake()
