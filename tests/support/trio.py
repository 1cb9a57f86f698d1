"""The whole system for a test: api, processor and uploader as processes, a song's host, a receiver."""

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import requests
import soundfile
from kafka import KafkaProducer

from tests.support.api.api_process import api_settings, submit
from tests.support.http_server import CallbackReceiver, Script, ScriptedServer, serve
from tests.support.servers import S3Store
from tests.support.stack import Service, Stack


@dataclass(frozen=True)
class Callback:
    """A callback as the receiver got it."""

    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Trio:
    """`settings` are shared by all three services; each can be started, killed and started again."""

    def __init__(self, stack: Stack, bootstrap: str, store: S3Store, model_dir: Path, **settings: str):
        self.stack = stack
        self.host = ScriptedServer()
        self.receiver = CallbackReceiver()
        tag = uuid4().hex[:8]
        self.settings = {
            **api_settings(bootstrap),
            **store.environment(),
            "MODEL_FILE_DIR": str(model_dir),
            "TRUSTED_URL_PREFIXES": f"{self.host.origin},{self.receiver.origin}",
            "KAFKA_SESSION_TIMEOUT_MS": "6000",
            # A directory's name comes again in every test run, and a broker can be shared by several.
            "KAFKA_PROCESSOR_GROUP_ID": f"processor-{tag}",
            "KAFKA_UPLOADER_GROUP_ID": f"uploader-{tag}",
            **settings,
        }
        self.services: dict[str, Service] = {}
        self._songs = 0

    def start(self, *modules: str, **settings: str) -> "Trio":
        """Starts `modules` (all three if none is named) at once, then waits until they are ready."""
        modules = modules or ("api", "processor", "uploader")
        for module in modules:
            name = module.split(".")[-1] if module.startswith("tests.") else module
            self.services[name] = self.stack.start(module, {**self.settings, **settings}, wait=False)
        for service in list(self.services.values()):
            service.wait_ready()
        return self

    def close(self) -> None:
        self.host.close()
        self.receiver.close()

    def song(self, data: bytes | Script, name: str | None = None) -> str:
        """The address at which these bytes, or what this script answers, are served."""
        self._songs += 1
        script = serve(data) if isinstance(data, bytes) else data
        return self.host.on(f"/{self._songs}/{name or 'song.wav'}", script)

    def submit(
        self,
        audio: str,
        hook_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> str:
        """The task_uuid. `more` are further fields of the submission."""
        body = {"audio": audio, "hook_url": hook_url or self.receiver.hook_url, **more}
        return self.submit_body(body, headers)

    def submit_body(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> str:
        """The task_uuid."""
        answer = submit(self.services["api"].url, body, headers)
        assert answer.status == 200, answer
        return answer.json()["task_uuid"]

    def publish(self, topic_setting: str, value: bytes) -> None:
        """Puts a record of our own into one of the topics."""
        producer = KafkaProducer(bootstrap_servers=self.settings["KAFKA_BOOTSTRAP_SERVERS"], acks="all")
        with contextlib.closing(producer):
            producer.send(self.settings[topic_setting], value, key=b"by hand").get(timeout=30)

    def all_callbacks(self) -> list[Callback]:
        return [Callback(r.body, r.headers) for r in self.receiver.requests("/hook")]

    def callbacks(self, task_uuid: str) -> list[Callback]:
        return [callback for callback in self.all_callbacks() if callback.json["task_uuid"] == task_uuid]

    def wait_for_callback(self, task_uuid: str, timeout_s: float = 90) -> Callback:
        """The task's first callback. Raises AssertionError, with the logs, when there is none in time."""
        seen = 0
        deadline = threading.Event()
        timer = threading.Timer(timeout_s, deadline.set)
        timer.start()
        try:
            while not deadline.is_set():
                if found := self.callbacks(task_uuid):
                    return found[0]
                try:
                    seen = len(self.receiver.wait_for_requests(seen + 1, 1.0))
                except TimeoutError:
                    continue
        finally:
            timer.cancel()
        logs = "\n".join(service.tail() for service in self.services.values())
        raise AssertionError(f"no callback for {task_uuid} within {timeout_s} s\n{logs}")

    def separate(self, data: bytes | Script, name: str | None = None, timeout_s: float = 90) -> Callback:
        """Serves, submits, and waits for the callback."""
        return self.wait_for_callback(self.submit(self.song(data, name)), timeout_s)


def fetch_stem(link: str, directory: Path) -> np.ndarray:
    """Downloads a published stem as any client would; float32 [frame, channel]."""
    answer = requests.get(link, timeout=30)
    answer.raise_for_status()
    path = directory / "stem"
    path.write_bytes(answer.content)
    return soundfile.read(path, dtype="float32", always_2d=True)[0]
