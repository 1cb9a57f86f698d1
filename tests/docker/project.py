"""Runs the product under Docker Compose, in a copy of the files that Docker reads, with a .env for tests."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.docker import stand_ins
from tests.docker.engine import Engine
from tests.support.deploy import compose
from tests.support.paths import REPOSITORY

NAME = "uvr"
# The files that `docker compose up --build` reads, in addition to the images' sources.
_FILES = ("Dockerfile", ".dockerignore", "docker-compose.yml", "local/log4j2.properties")


class Project:
    """A checkout for Docker Compose. `write_env` and `compose` do what an operator does in its directory."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.directory = engine.work / "checkout"
        self.directory.mkdir()
        images = compose.images().values()
        for name in {*_FILES, *(source for image in images for source in (*image.sources, *image.mounted))}:
            self._copy(name)
        (self.directory / "docker-compose.override.yml").write_text(yaml.safe_dump(self._override()))
        self.compose("build", "--quiet", "runtime")

    def _copy(self, name: str) -> None:
        source, target = REPOSITORY / name, self.directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)

    def _override(self) -> dict[str, Any]:
        """Replaces the images, gives builds the package index, and mounts packages and programs."""
        proxy = self.engine.proxy
        assert proxy
        arguments = {"PYTHON_IMAGE": stand_ins.PYTHON, "HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url}
        build = {"network": "host", "args": arguments}
        processor = {
            # The stage that installs the packages is replaced by the stage that it is based on.
            "build": build
            | {"additional_contexts": {"processor-packages": f"docker-image://{stand_ins.RUNTIME}"}},
            "volumes": [f"{Path(sys.prefix)}:/venv:ro"],
        }
        return {
            "services": {
                "api": {"build": build},
                "uploader": {"build": build},
                "processor": processor,
                "kafka": {"image": stand_ins.KAFKA, "volumes": stand_ins.kafka_mounts()},
                "seaweedfs": {"image": stand_ins.STORE, "volumes": stand_ins.store_mounts()},
                # Only built, as the base of the processor's image.
                "runtime": {
                    "image": stand_ins.RUNTIME,
                    "build": build | {"context": ".", "target": "runtime"},
                    "profiles": ["never"],
                },
            }
        }

    def write_env(self, settings: Mapping[str, str]) -> None:
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.directory / ".env").write_text("".join(lines))

    def compose(self, *arguments: str, check: bool = True, timeout_s: float = 300) -> str:
        """Runs `docker compose ARGUMENTS` and returns its standard output. Raises AssertionError on error."""
        done = self.engine.run(
            "docker", "compose", *arguments, cwd=self.directory, check=check, timeout_s=timeout_s
        )
        return done.stdout + ("" if check else done.stderr)

    def run(self, commands: str) -> str:
        """Runs shell commands as an operator types them."""
        return self.engine.run("bash", "-euc", commands, cwd=self.directory).stdout

    def docker(self, *arguments: str) -> str:
        return self.engine.run("docker", *arguments, cwd=self.directory).stdout

    def inspect(self, service: str) -> list[dict[str, Any]]:
        """Returns `docker inspect` of each of the service's containers, running or ended."""
        return json.loads(self.docker("inspect", *self.containers(service)))

    def containers(self, service: str) -> list[str]:
        # Compose itself would take five times as long to say so.
        labels = {"project": NAME, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return self.docker("ps", "--all", "--quiet", *filters).split()

    def health(self, service: str) -> str:
        (found,) = self.inspect(service)
        return found["State"]["Health"]["Status"]

    def state(self) -> str:
        """Returns each container's state, its last health check, and the last lines of its log."""
        containers = self.compose("ps", "--all", "--quiet", check=False).split()
        shown = "{{.Name}} {{.State.Status}} {{json .State.Health}}"
        health = self.engine.run("docker", "inspect", "--format", shown, *containers, check=False).stdout
        return health + self.compose("logs", "--no-color", "--tail", "40", check=False)
