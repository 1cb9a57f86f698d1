"""Sends songs through the running project, and reads their callbacks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.docker.project import Project
from tests.support import audio
from tests.support.api import task_client
from tests.support.api.api_client import Answer
from tests.support.api.api_process import submit
from tests.support.http_server import ScriptedServer, serve
from tests.support.waiting import wait_for

API, STORE = "http://127.0.0.1:8000", "http://127.0.0.1:8333"
PATIENCE_S = 240


@dataclass
class Stack:
    """The running project, and a server for songs and callbacks that containers reach at `origin`."""

    project: Project
    host: ScriptedServer
    origin: str
    settings: dict[str, str]
    songs: int = 0

    def up(self, *arguments: str, **settings: str) -> str:
        """Writes .env with additional settings and runs `docker compose up -d --wait`. Returns the output."""
        self.project.write_env(self.settings | settings)
        try:
            return self.project.compose("up", "-d", "--wait", *arguments, timeout_s=400)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.project.state()}") from None

    def submit(self, samples: np.ndarray, directory: Path) -> str:
        """Submits a song and returns the task's id."""
        answer = submit(API, self._body(samples, directory))
        assert answer.status == 200, answer
        return answer.json()["task_uuid"]

    def submit_until_taken(self, samples: np.ndarray, directory: Path) -> str:
        """Submits a song, again where the api says 503, as clients do after an outage of Kafka."""
        body = self._body(samples, directory)

        def taken() -> Answer | None:
            answer = submit(API, body)
            assert answer.status in (200, 503), answer
            return answer if answer.status == 200 else None

        return wait_for(taken, PATIENCE_S, "a queued task").json()["task_uuid"]

    def submit_file(self, samples: np.ndarray, directory: Path) -> str:
        """Submits a song as a form has it, and returns the task's id."""
        self.songs += 1
        song = audio.write(directory / f"{self.songs}.wav", samples)
        with song.open("rb") as file:
            form = {"files": {"audio": file}, "data": {"hook_url": f"{self.origin}/hook"}}
            answer = httpx.post(f"{API}/generate", auth=("admin", "password"), timeout=60, **form)
        assert answer.status_code == 200, answer.text
        return answer.json()["task_uuid"]

    def _body(self, samples: np.ndarray, directory: Path) -> dict[str, str]:
        """Serves a song and returns the submission of it."""
        self.songs += 1
        song = audio.write(directory / f"{self.songs}.wav", samples)
        self.host.on(f"/{self.songs}.wav", serve(song.read_bytes()))
        return {"audio": f"{self.origin}/{self.songs}.wav", "hook_url": f"{self.origin}/hook"}

    def callback(self, task_uuid: str) -> dict[str, Any]:
        """Waits for the task's callback and returns its body. Raises AssertionError with the logs."""

        def find() -> dict[str, Any] | None:
            bodies = [request.json() for request in self.host.requests("/hook")]
            return next((body for body in bodies if body["task_uuid"] == task_uuid), None)

        try:
            return wait_for(find, PATIENCE_S, f"callback of {task_uuid}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.project.state()}") from None

    def separate(self, samples: np.ndarray, directory: Path) -> dict[str, Any]:
        return self.callback(self.submit(samples, directory))

    def listed(self) -> set[str]:
        """Returns the ids of the tasks that the api lists, once its view has caught up."""
        wait_for(self.view_is_read, PATIENCE_S, "the api's view")
        return {task["task_uuid"] for task in task_client.ask(API, "/tasks?limit=200").json()["tasks"]}

    def view_is_read(self) -> bool:
        return task_client.ask(API, "/readyz").json()["checks"]["view"]["detail"] == "caught up"


def properties(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
