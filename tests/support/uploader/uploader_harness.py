"""Runs an uploader's handler with a store in memory, a real stage and receiver, and settlement."""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from common.errors import JobError
from common.jobs.outcome import Done, Failed, Outcome
from common.jobs.retry import RetryPolicy
from common.jobs.settlement import JobRules, Settlement
from common.kafka.records import Message, Record
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from common.storage.bucket_keys import RunKeys
from common.storage.stage import LocalStage
from common.storage.verified import VerifiedFile
from common.tasks.cancels import Cancels
from common.tasks.job_status import Statuses
from common.tasks.messages import (
    AnyResultRecord,
    DeliveryAttempt,
    Separated,
    SeparationFailed,
    StagedStem,
    Status,
)
from tests.support.common.worker.fakes import FakeContext, NoOutbox, given_up, run
from tests.support.http_server import CallbackReceiver, Request
from tests.support.uploader.memory_bucket import MemoryBucket
from uploader.config import UploaderConfig
from uploader.handler import UploaderHandler
from uploader.metrics import UploaderMetrics
from uploader.storage import ResultLink

TASK_UUID = uuid4()
STEMS = ("vocals", "instrumental")
Result = Separated | SeparationFailed | Record
POLICY = RetryPolicy("results", (30, 300))


class Killed(BaseException):
    """Ends a call where a killed process would end."""


class FakeStorage:
    """A store in memory. A method raises what `fail(method, key)` returns, unless that is None.

    `kill_at`, ("before" or "after", method), raises Killed there.
    """

    def __init__(self) -> None:
        self.bucket = MemoryBucket()
        self.objects = self.bucket.bodies
        self.dispositions: dict[str, str | None] = {}
        self.calls: list[tuple[str, str]] = []
        self.fail = lambda what, key: None
        self.kill_at: tuple[str, str] | None = None
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def _call(self, what: str, key: str) -> None:
        self.calls.append((what, key))
        self._die(("before", what))
        error = self.fail(what, key)
        if error is not None:
            raise error

    def put_file(self, file: VerifiedFile, key: str, check, sent, disposition: str | None = None) -> None:
        self._call("put_file", key)
        self.entered.set()
        assert self.go_on.wait(20)
        check()
        body = file.read(file.size_bytes + 1)
        file.verify()
        self.objects[key], self.dispositions[key] = body, disposition
        sent(len(body))

    def put_manifest(self, key: str, body: bytes, about: dict[str, str] | None = None) -> bytes:
        self._call("put_manifest", key)
        if key not in self.objects:
            self.bucket.headers[key] = {"Metadata": about or {}}
        written = self.objects.setdefault(key, body)
        self._die(("after", "put_manifest"))
        return written

    def _die(self, point: tuple[str, str]) -> None:
        if point == self.kill_at:
            raise Killed

    def get_manifest(self, key: str) -> bytes | None:
        self._call("get_manifest", key)
        return self.objects.get(key)

    def url(self, key: str) -> ResultLink:
        return ResultLink(f"https://store.example/{key}", 1234.0)

    def leads_here(self, url: str) -> bool:
        return url.startswith("https://store.example/")

    def prefix(self, url: str, task_uuid: UUID) -> str | None:
        key = url.removeprefix("https://store.example/")
        return key.partition(f"{task_uuid}/")[0] if self.leads_here(url) else None

    def copy(
        self,
        source: str,
        target: str,
        size_bytes: int,
        disposition: str | None = None,
        check=lambda: None,
        sent=lambda size_bytes: None,
        etag: str | None = None,
    ) -> bool:
        self._call("copy", target)
        check()
        if source in self.objects:
            self.objects[target], self.dispositions[target] = self.objects[source], disposition
        return source in self.objects

    def remove_unnamed(self, keys: RunKeys) -> None:
        self._call("remove_unnamed", keys.directory)
        for key in [k for k in self.objects if k.startswith(keys.directory) and k != keys.manifest]:
            del self.objects[key]

    @property
    def uploads(self) -> list[str]:
        return [key for what, key in self.calls if what == "put_file"]


@dataclass(frozen=True)
class Settled:
    """The messages of one try, by topic, and the effects that follow the commit."""

    done: Done

    def of(self, topic: str) -> list[Message]:
        return [message for message in self.done.messages if message.topic == topic]

    @property
    def results(self) -> list[Record]:
        """The records of the result topic and its retry topics, as the uploader reads them."""
        return [as_record(m) for m in self.done.messages if m.topic.startswith("results")]

    @property
    def deliveries(self) -> list[DeliveryAttempt]:
        return [DeliveryAttempt.model_validate_json(message.value) for message in self.of("deliveries")]

    @property
    def statuses(self) -> list[Status]:
        return [Status.model_validate_json(message.value) for message in self.of("status")]

    @property
    def letters(self) -> list[Message]:
        return self.of("dead")


def as_record(message: Message) -> Record:
    return Record(message.topic, 0, 7, message.key, message.value, message.headers)


def record(result: AnyResultRecord) -> Record:
    return Record("results", 0, 7, str(TASK_UUID).encode(), result.to_bytes())


class UploaderHarness:
    """`now_s` is the time for the handler and the worker, in seconds since the epoch."""

    def __init__(self, directory: Path, receiver: CallbackReceiver, storage=None, callback_retries: int = 2):
        self.stage = LocalStage(directory / "stage")
        self.storage, self.receiver = storage or FakeStorage(), receiver
        self.now_s = 99.0
        self._callback_retries = callback_retries
        policy = AddressPolicy(frozenset({80}), frozenset({parse_origin(receiver.origin)}))
        self.network = OutboundNetwork(policy)
        self.metrics = UploaderMetrics.create()
        self.cancels = Cancels(lambda: self.now_s)
        self.handler = self.new_handler()

    def new_handler(self) -> UploaderHandler:
        """Returns a handler as a process has it that has just started."""
        config = UploaderConfig(
            "results", "deliveries", len(POLICY.delays_s), self._callback_retries, "out/", (), 10.0
        )
        statuses = Statuses("status", NoOutbox(), lambda: self.now_s)
        return UploaderHandler(
            config,
            self.network,
            self.storage,
            self.stage,
            statuses,
            lambda: self.now_s,
            self.metrics,
            self.cancels,
        )

    def staged(self, offset: int = 5, run: int = 1) -> Separated:
        """Returns a result whose stems are in the stage."""
        stems = {}
        for name in STEMS:
            path = self.stage.path(f"{TASK_UUID}/tasks-0-{offset}.1/{name}.wav")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
            key = str(path.relative_to(self.stage.root))
            digest = hashlib.sha256(name.encode()).hexdigest()
            stems[name] = StagedStem(key=key, sha256=digest, bytes=len(name), duration_s=1.5)
        return Separated(**self._shared_fields(run), stems=stems, model="centre", device="cpu", gain=0.5)

    def failed(self) -> SeparationFailed:
        return SeparationFailed(
            **self._shared_fields(1), error_code="http_error", error_message="HTTP error: 404"
        )

    def _shared_fields(self, run: int) -> dict:
        return {
            "task_uuid": TASK_UUID,
            "hook_url": self.receiver.hook_url,
            "run": run,
            "submitted_at": 1.0,
            "finished_at": 2.0,
        }

    def run(self, result: Result, context: FakeContext | None = None) -> Outcome:
        self._given = given = result if isinstance(result, Record) else record(result)
        return run(self.handler, given, context or FakeContext())

    def work(self, result: Result) -> Settled:
        """Makes one try as the worker does, up to the commit; the test runs the effects itself."""
        given = result if isinstance(result, Record) else record(result)
        try:
            outcome = run(self.handler, given, FakeContext())
        except JobError as error:
            outcome = Failed(error)
        return self.settle(outcome, given)

    def given_up(self, result: Result, error: JobError) -> Done:
        """Returns what the handler publishes for a record that is not tried again."""
        given = result if isinstance(result, Record) else record(result)
        return given_up(self.handler, given, error, FakeContext())

    def settle(self, outcome: Outcome, given: Record | None = None) -> Settled:
        """Returns what the worker publishes for the outcome of `given`, or of the last record that ran."""
        given = given or self._given
        rules = JobRules("dead", 3, POLICY, lambda: self.now_s)
        return Settled(Settlement(given, self.handler, FakeContext(), rules, "the job").settle(outcome))

    def work_out(self, result: Result) -> list[Settled]:
        """Makes every try of a record and of the records that follow, with the effects of each commit."""
        waiting, tries = [result], []
        while waiting:
            tries.append(self.work(waiting.pop(0)))
            tries[-1].done.after_commit()
            waiting += tries[-1].results
            assert len(tries) < 50
        return tries

    def requests(self) -> list[Request]:
        return self.receiver.requests("/hook")

    def callbacks(self) -> list[dict]:
        return [request.json() for request in self.requests()]

    def files(self) -> list[str]:
        return sorted(p.name for p in self.stage.root.rglob("*") if p.is_file())
