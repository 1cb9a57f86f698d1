"""docker-compose.yml's services as plain processes: their commands, environment and directories.

What a container would see as /models, /app and so on are directories of the test; names of hosts are
addresses on loopback with free ports. Networks, users and limits are Docker's and not made here.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import store
from local.ports import free_ports
from tests.support import compose
from tests.support.compose import ROOT, TRIO
from tests.support.processes import ManagedProcess
from tests.support.secure_kafka import java
from tests.support.waiting import wait_for

HEALTHY_TIMEOUT_S = 120
# Which ports of a container stand for which, by the addresses in the file.
_ADDRESSES = {
    "kafka:9092": "kafka",
    "127.0.0.1:9092": "kafka",
    "127.0.0.1/9092": "kafka",
    "://:9092": "kafka",
    "localhost:9093": "controller",
    "seaweedfs:8333": "s3",
    "127.0.0.1:8333": "s3",
    "127.0.0.1:8000": "api",
    "127.0.0.1:8001": "processor",
    "127.0.0.1:8002": "uploader",
}
_OWN_PORT = {"api": "API_PORT", "processor": "HEALTH_PORT", "uploader": "HEALTH_PORT"}


class Containers:
    """`environ` is what .env would hold. Volumes are in `directory/volumes`, by their names."""

    def __init__(self, directory: Path, environ: Mapping[str, str]):
        self.directory = directory
        parts = dict.fromkeys((*_ADDRESSES.values(), *store_parts()))
        self.ports = dict(zip(parts, free_ports(len(parts)), strict=True))
        self.services: dict[str, Any] = compose.load(environ)["services"]
        self.processes: dict[str, ManagedProcess] = {}
        for name in self.services:
            self._make_root(name)
        self._roots = {name: set(self.root(name).rglob("*")) for name in self.services}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def volume(self, name: str) -> Path:
        path = self.directory / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def root(self, name: str) -> Path:
        """What the container's own file system has of ours; it is read-only there."""
        return self.directory / "roots" / name

    def mounts(self, name: str) -> dict[str, Path]:
        """The directories that the container can write to, and files of the host's that it sees."""
        found: dict[str, Path] = {}
        for mount in self.services[name].get("tmpfs", ()):
            path = mount.partition(":")[0]
            found[path] = self.directory / "tmpfs" / name / path.strip("/").replace("/", "-")
            found[path].mkdir(parents=True, exist_ok=True)
        for mount in self.services[name].get("volumes", ()):
            if isinstance(mount, str):
                source, target = mount.split(":")[:2]
                found[target] = ROOT / source if source.startswith(".") else self.volume(source)
        return found

    def written_outside_mounts(self, name: str) -> set[Path]:
        return set(self.root(name).rglob("*")) ^ self._roots[name]

    def up(self) -> None:
        """Starts all, each once what it depends on is as the file says. Raises AssertionError."""
        left = dict(self.services)
        while left:
            name = next(n for n, s in left.items() if not left.keys() & s.get("depends_on", {}).keys())
            for other, condition in left.pop(name).get("depends_on", {}).items():
                self._await(other, condition["condition"])
            self.start(name)
        for name in TRIO:
            self._await(name, "service_healthy")

    def start(self, name: str) -> None:
        argv = self.argv(name)
        if name == "kafka":
            argv = self._kafka_argv()
        work_dir = self.root(name) / "app" if name != "seaweedfs" else self.volume("seaweedfs-data")
        log_file = self.directory / f"{name}.log"
        self.processes[name] = ManagedProcess(argv, log_file, self.environment(name), cwd=work_dir)
        self.processes[name].start()

    def stop(self, name: str) -> int:
        """SIGTERM, and SIGKILL when the file's time is over. The exit code."""
        return self.processes[name].stop(compose.seconds(self.services[name]["stop_grace_period"]))

    def kill(self) -> None:
        for name in reversed(self.processes):
            self.processes[name].kill()
        inner = [port for part, port in self.ports.items() if part in store_parts()]
        for port in (self.ports["s3"], *inner):
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def argv(self, name: str) -> list[str]:
        service = self.services[name]
        argv = [
            self.inside(name, word) for word in (*service.get("entrypoint", ()), *service.get("command", ()))
        ]
        if name == "seaweedfs":
            argv += [f"-{part}={self.ports[part]}" for part in store_parts()] + [
                f"-s3.port={self.ports['s3']}"
            ]
        return argv

    def environment(self, name: str) -> dict[str, str]:
        image = compose.images().get(self.services[name].get("build", {}).get("target"))
        path = os.pathsep.join((str(Path(sys.executable).parent), os.defpath))
        made = {key: value.replace("$PATH", path) for key, value in image.env.items()} if image else {}
        # Temporary files of Python's and the store's are in the container's /tmp.
        env = {"PATH": path, "TMPDIR": "/tmp", **made, **self.services[name]["environment"]}
        env = {key: self.inside(name, value) for key, value in env.items()}
        if name in _OWN_PORT:
            env[_OWN_PORT[name]] = str(self.ports[name])
        return env

    def health_check(self, name: str) -> subprocess.CompletedProcess[str]:
        kind, *argv = (self.inside(name, word) for word in self.services[name]["healthcheck"]["test"])
        assert kind == "CMD"
        if argv[0] == "wget":  # BusyBox's, in the store's image
            argv = [sys.executable, "-m", "deploy.probe", argv[-1]]
        env = self.environment(name)
        return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)

    def inside(self, name: str, text: str) -> str:
        """`text` with the addresses and paths that stand for those of the container."""
        for address, part in _ADDRESSES.items():
            prefix = "://" if address.startswith("://") else ""
            separator = "/" if "/" in address.removeprefix("://") else ":"
            text = text.replace(address, f"{prefix}127.0.0.1{separator}{self.ports[part]}")
        if text == "0.0.0.0" or text.endswith("=0.0.0.0"):
            text = text.replace("0.0.0.0", "127.0.0.1")
        if text == "python":
            return sys.executable
        paths = {"/venv": Path(sys.prefix), "/usr/bin/weed": store.WEED}
        paths |= {path: self.root(name) / path.strip("/") for path in ("/app", "/home/uvr")}
        paths |= self.mounts(name)
        longest_first = sorted(paths, key=len, reverse=True)
        pattern = rf"(?<![\w./-])({'|'.join(map(re.escape, longest_first))})(?![\w.-])"
        return re.sub(pattern, lambda match: str(paths[match[1]]), text)

    def _make_root(self, name: str) -> None:
        (self.root(name) / "app").mkdir(parents=True)
        (self.root(name) / "home" / "uvr").mkdir(parents=True)
        image = compose.images().get(self.services[name].get("build", {}).get("target"))
        for source in image.sources if image else ():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, self.root(name) / "app" / source, ignore=ignored)
        for target, path in self.mounts(name).items():
            inside = self.root(name) / target.strip("/")
            if inside.parent.is_dir():
                inside.symlink_to(path)

    def _await(self, name: str, condition: str) -> None:
        process = self.processes[name]
        if condition == "service_completed_successfully":
            assert process.wait(HEALTHY_TIMEOUT_S) == 0, process.output()
            return
        assert condition == "service_healthy"

        def healthy() -> bool:
            assert process.returncode is None, f"{name} ended: {process.output()[-3000:]}"
            return self.health_check(name).returncode == 0

        try:
            wait_for(healthy, HEALTHY_TIMEOUT_S, f"health of {name}")
        except AssertionError as error:
            raise AssertionError(f"{error}; {process.output()[-3000:]}") from None

    def _kafka_argv(self) -> list[str]:
        """As the image's start script has it: properties by Kafka's own wrapper, then the broker."""
        env = self.environment("kafka")
        defaults = self.directory / "kafka-defaults"
        defaults.mkdir()
        # Ours is another file than the image's own; the wrapper only copies it.
        (defaults / "server.properties").write_text("not=used\n")
        config, mounted = (self.mounts("kafka")[p] for p in ("/opt/kafka/config", "/mnt/shared/config"))
        setup = [*java(), "kafka.docker.KafkaDockerWrapper", "setup"]
        setup += ["--default-configs-dir", str(defaults), "--mounted-configs-dir", str(mounted)]
        setup += ["--final-configs-dir", str(config)]
        subprocess.run(setup, env=env, check=True, capture_output=True)
        options = env["KAFKA_HEAP_OPTS"].split() + env["KAFKA_LOG4J_OPTS"].split()
        virtual_machine, *rest = java()
        return [
            virtual_machine,
            *rest[:-2],
            *options,
            *rest[-2:],
            "kafka.Kafka",
            f"{config}/server.properties",
        ]


def store_parts() -> tuple[str, ...]:
    """The options for the ports of the store's parts."""
    parts = ("master", "volume", "filer")
    return (*(f"{part}.port" for part in parts), *(f"{part}.port.grpc" for part in (*parts, "s3")))
