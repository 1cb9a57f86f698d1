"""The real api on a real port, in a thread: with a queue in memory and a view that the test feeds."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import create_app
from api.http.listener import listen
from api.http.protocol import GuardedProtocol
from api.view.merge import of_task
from common.kafka.records import Message
from common.settings.schema import ApiSettings
from common.tasks.messages import Task, decode_batch, decode_task
from tests.support.api.api_client import MemoryPublisher, MemoryTogether
from tests.support.api.stored_view import StoredView
from tests.support.waiting import wait_for

_PATIENCE_S = 30


@dataclass
class SeenPublisher(MemoryPublisher):
    """A task that it is given is seen in `view` at once, as Kafka's records are soon."""

    view: StoredView | None = None

    async def publish(self, message: Any) -> None:
        await super().publish(message)
        if isinstance(message, Task) and self.view is not None:
            self.view.tell(of_task(message))


@dataclass
class SeenTogether(MemoryTogether):
    """The same for batches."""

    view: StoredView | None = None

    async def publish(self, messages: Sequence[Message]) -> None:
        await super().publish(messages)
        *tasks, last = messages
        if self.view is not None and last.topic == "uvr_batches":
            self.view.tell(decode_batch(last.value), *(of_task(decode_task(task.value)) for task in tasks))


@dataclass(frozen=True)
class ApiServer:
    """`view.tell` is what the workers' records do."""

    url: str
    app: FastAPI
    publisher: SeenPublisher
    view: StoredView


def _behind_prefix(app: ASGIApp, prefix: str) -> ASGIApp:
    """As a proxy that hands on what lies under `prefix`, without the prefix, and knows nothing else."""

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not scope["path"].startswith(prefix + "/"):
                await Response(status_code=404)(scope, receive, send)
                return
            path = scope["path"].removeprefix(prefix)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    return proxy


@contextmanager
def api_server(prefix: str = "", **settings: Any) -> Iterator[ApiServer]:
    """An api, behind a proxy that gives it the path `prefix` if there is one."""
    view = StoredView()
    publisher = SeenPublisher(view=view)
    own = ApiSettings(api_host="127.0.0.1", api_port=0, **settings)
    listener = listen(own)
    app = create_app(own, publisher, view, together=SeenTogether(view=view))
    served = _behind_prefix(app, prefix) if prefix else app
    config = uvicorn.Config(served, http=GuardedProtocol, ws="none", log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, _PATIENCE_S, "start of the api")
        yield ApiServer(f"http://127.0.0.1:{listener.getsockname()[1]}{prefix}", app, publisher, view)
    finally:
        view.end_watching()
        server.should_exit = True
        thread.join(_PATIENCE_S)
