"""A view as the api has it, on a file of its own, fed by the test instead of by Kafka."""

import functools
import os
import tempfile
from pathlib import Path
from typing import ClassVar, Self
from weakref import WeakSet

from kafka.errors import KafkaConnectionError

from api.view.backlog import Backlog
from api.view.changes import Changes
from api.view.read_position import Offsets, ReadPosition
from api.view.reader import Reader
from api.view.records import Batch
from api.view.repair import Repair
from api.view.store import Store
from api.view.view import KafkaView
from api.view.workers import AnnouncedWorkers
from common.tasks.messages import DeliveryAttempt, Status, TaskBatch, WorkerSeen


class _NoFeed:
    reason = ""

    def __init__(self) -> None:
        self.repair = Repair()

    def start(self) -> None: ...

    def stop(self) -> None: ...


class _Ends:
    """The topic's ends: as far as the view has read, or none to be had."""

    def __init__(self) -> None:
        self.away = False

    async def now(self) -> Offsets:
        if self.away:
            raise KafkaConnectionError("away")
        return {}

    def close(self) -> None: ...


# In memory where the system has a place for that: no test is about the disk's speed.
_DIRECTORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@functools.cache
def _empty_file() -> bytes:
    """A view's file as the store makes it, which takes longer than to write a copy."""
    with tempfile.TemporaryDirectory(prefix="uvr-view-", dir=_DIRECTORY) as directory:
        store = Store(Path(directory) / "view.sqlite3")
        store.open("test")
        store.close()
        return store.path.read_bytes()


class StoredView(KafkaView):
    """`tell` is what a record does; with `caught_up=False` it has not read enough to answer."""

    made: ClassVar[WeakSet[Self]] = WeakSet()

    def __init__(self, caught_up: bool = True):
        # Goes with this object.
        self._directory = tempfile.TemporaryDirectory(prefix="uvr-view-", dir=_DIRECTORY)
        path = Path(self._directory.name) / "view.sqlite3"
        path.write_bytes(_empty_file())
        read_position, changes, backlog = ReadPosition(), Changes(), Backlog()
        workers = AnnouncedWorkers()
        self.store, self.ends, self.feed = Store(path, backlog, workers), _Ends(), _NoFeed()
        self.store.open("test")
        patience_s = 20.0 if caught_up else 0.05
        super().__init__(
            Reader(path), read_position, changes, self.feed, self.ends, backlog, workers, patience_s
        )
        read_position.begin({}, is_new=True)
        if caught_up:
            read_position.reach({})
        self.made.add(self)

    async def close(self) -> None:
        """Another app of the same test may use it still."""

    def release(self) -> None:
        """Its files. FastAPI keeps apps for ever, and with a thousand files open no decoder starts."""
        self._threads.shutdown()
        self._long.close()
        self.store.close()
        self._directory.cleanup()

    def tell(self, *reported: Status | DeliveryAttempt | WorkerSeen | TaskBatch) -> None:
        batch = Batch(
            [one for one in reported if isinstance(one, Status)],
            [one for one in reported if isinstance(one, DeliveryAttempt)],
            workers=[one for one in reported if isinstance(one, WorkerSeen)],
            batches=[one for one in reported if isinstance(one, TaskBatch)],
        )
        self._changes.tell(self.store.apply(batch))
