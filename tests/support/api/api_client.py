"""The api without a server or a broker: a queue in memory, and a client that speaks ASGI itself."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from api.app import create_app
from api.publishing.kafka_session import Sendable
from api.publishing.publisher import NotSent, PublisherUnavailable
from api.uploads.gate import UploadGate
from common.kafka.records import Message
from common.observability.health import Check
from common.settings.schema import ApiSettings
from common.tasks.messages import BatchEnded, Cancel, Deletion, DeliveryAttempt, HookTest, Redelivery, Task
from tests.support.api.stored_view import StoredView

SONG = {"audio": "https://example.com/song.mp3", "hook_url": "https://example.com/hook"}


@dataclass
class MemoryPublisher:
    """A TaskPublisher that keeps what it is given.

    It takes nothing when `away` says why. When `unclear` says why, nobody knows whether it does.
    """

    tasks: list[Task] = field(default_factory=list)
    redeliveries: list[Redelivery] = field(default_factory=list)
    cancels: list[Cancel] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    hook_tests: list[HookTest] = field(default_factory=list)
    batch_redeliveries: list[BatchEnded] = field(default_factory=list)
    away: str = ""
    unclear: str = ""
    fails_with: Exception | None = None

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def check(self) -> Check:
        return Check(not self.away, self.away)

    async def publish(self, message: Sendable) -> None:
        if self.fails_with:
            raise self.fails_with
        if self.away:
            raise NotSent(self.away)
        if self.unclear:
            raise PublisherUnavailable(self.unclear)
        kept = {
            Task: self.tasks,
            Redelivery: self.redeliveries,
            Cancel: self.cancels,
            Deletion: self.deletions,
            HookTest: self.hook_tests,
            BatchEnded: self.batch_redeliveries,
        }
        kept[type(message)].append(message)


@dataclass
class ReportingPublisher(MemoryPublisher):
    """The same beside an uploader that reports each hook test to `view` at once, with `reported`."""

    view: StoredView | None = None
    reported: dict[str, Any] = field(default_factory=lambda: {"status": 204})

    async def publish(self, message: Sendable) -> None:
        await super().publish(message)
        if not isinstance(message, HookTest) or self.view is None:
            return
        about = {"task_uuid": message.test_uuid, "hook_url": message.hook_url}
        self.view.tell(
            DeliveryAttempt(**about, run=1, try_number=1, started_at=1.0, took_s=0.5, **self.reported)
        )


@dataclass
class MemoryTogether:
    """A TogetherPublisher that keeps each transaction, or fails as `MemoryPublisher` does."""

    transactions: list[list[Message]] = field(default_factory=list)
    away: str = ""
    unclear: str = ""

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.away:
            raise NotSent(self.away)
        if self.unclear:
            raise PublisherUnavailable(self.unclear)
        self.transactions.append(list(messages))

    def close(self) -> None: ...


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class ApiClient:
    """Sends requests to an app of its own. `now_s` is the app's monotonic clock."""

    def __init__(
        self,
        publisher: MemoryPublisher | None = None,
        view: StoredView | None = None,
        uploads: UploadGate | None = None,
        **settings: Any,
    ):
        self.now_s = 1000.0
        self.publisher, self.view = publisher or MemoryPublisher(), view or StoredView()
        self.settings = ApiSettings(**settings)
        self.together = MemoryTogether()
        self.app: FastAPI = create_app(
            self.settings,
            self.publisher,
            self.view,
            lambda: self.now_s,
            uploads=uploads,
            together=self.together,
        )
        self.chunks_read = 0

    def generate(
        self, body: Any = SONG, headers: Mapping[str, str] | None = None, client: str = "203.0.113.5"
    ) -> Answer:
        """A submission with the right credentials. A body that is not bytes is sent as JSON."""
        return asyncio.run(self.send(body, headers, client))

    async def send(
        self, body: Any = SONG, headers: Mapping[str, str] | None = None, client: str = "203.0.113.5"
    ) -> Answer:
        """`generate` for a loop that runs already."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        right = basic(self.settings.basic_auth_username, self.settings.basic_auth_password.get_secret_value())
        scope = _scope("POST", "/generate", right | dict(headers or {}), client)
        return await self._send(self.app, scope, iter([data]))

    async def get(self, path: str, headers: Mapping[str, str], heard: Callable[[bytes], None]) -> Answer:
        """For a loop that runs already; `heard` gets the parts of the body as they come."""
        return await self._send(self.app, _scope("GET", path, headers, "203.0.113.5"), iter([b""]), heard)

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        chunks: Iterable[bytes] = (b"",),
        client: str = "203.0.113.5",
    ) -> Answer:
        """`chunks` are the body's parts, drawn one by one: `chunks_read` counts them."""
        return asyncio.run(self._send(self.app, _scope(method, path, headers or {}, client), iter(chunks)))

    async def _send(
        self,
        app: Callable[..., Awaitable[None]],
        scope: dict[str, Any],
        chunks: Iterable[bytes],
        heard: Callable[[bytes], None] = lambda part: None,
    ) -> Answer:
        self.chunks_read = 0
        messages: list[Any] = []
        is_whole = False

        async def receive() -> dict[str, Any]:
            nonlocal is_whole
            if is_whole:
                await asyncio.Event().wait()  # as from a client that stays connected
            chunk = next(iter(chunks), None)
            if chunk is None:
                is_whole = True
                return {"type": "http.request", "body": b"", "more_body": False}
            self.chunks_read += 1
            return {"type": "http.request", "body": chunk, "more_body": True}

        async def send(message: Any) -> None:
            messages.append(message)
            if part := message.get("body"):
                heard(part)

        await app(scope, receive, send)
        headers = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in messages[1:])
        return Answer(messages[0]["status"], headers, body)


def _scope(method: str, path: str, headers: Mapping[str, str], client: str) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        "client": (client, 50000),
        "server": ("127.0.0.1", 8000),
    }
