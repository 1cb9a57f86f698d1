"""Runs an S3 store on this machine: SeaweedFS from its wheel, bound to the loopback interface.

    python -m local.store DATA_DIR S3_PORT BUCKET [S3_PREFIX]

This command runs the store in the foreground until SIGTERM; its data survives SIGKILL. The store's keys are
in DATA_DIR/keys.json. local/store_client.py makes the bucket once the store answers.
"""

import json
import os
import secrets
import socket
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from common.storage.identities import UPLOADER_ACTIONS, api_actions, processor_actions
from local.ports import free_ports, is_free
from local.private_files import UMASK, read_json, write_private

# boto3's files in the user's home directory describe other stores, and may refuse this one.
USER_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
REGION = "us-east-1"
_IDENTITIES = "identities.json"
WEED = Path(sysconfig.get_path("scripts")) / "weed"


@dataclass(frozen=True)
class Keys:
    """An access key and its secret key."""

    access_key: str
    secret_key: str


@dataclass(frozen=True)
class StoreSpec:
    """Describes one store: its data directory, its bucket, the S3 port and seven ports for its parts.

    `prefix` is S3_PREFIX, the beginning of all keys.
    """

    data_dir: Path
    bucket: str
    port: int
    inner_ports: tuple[int, ...]
    keys: Keys
    prefix: str = ""

    @property
    def endpoint_url(self) -> str:
        """The address for S3 clients."""
        return f"http://127.0.0.1:{self.port}"


def load_keys(path: Path) -> Keys:
    """Returns the keys in `path`. The first call makes them; only the owner can read the file."""
    if not (keys := read_json(path)):
        keys = {"access_key": secrets.token_hex(10).upper(), "secret_key": secrets.token_urlsafe(30)}
        write_private(path, json.dumps(keys))
    return Keys(**keys)


def load_api_keys(data_dir: Path) -> Keys:
    """Returns the api's keys. They can read the bucket's objects, and write and remove uploads."""
    return load_keys(data_dir / "link-keys.json")


def load_processor_keys(data_dir: Path) -> Keys:
    """Returns the processors' keys. They can read uploads and cache entries, and use the stage."""
    return load_keys(data_dir / "processor-keys.json")


def make_spec(data_dir: Path, bucket: str, port: int, prefix: str = "") -> StoreSpec:
    """Describes a store on `port`. Its other ports are those of the last start, unless one is taken."""
    keys = load_keys(data_dir / "keys.json")
    inner = inner_ports(data_dir)
    if not inner or not all(is_free(number) and not sockets_of_others(number) for number in inner):
        inner = tuple(number for number in free_ports(8) if number != port)[:7]
        write_private(data_dir / "ports.json", json.dumps(inner))
    return StoreSpec(data_dir, bucket, port, inner, keys, prefix)


def inner_ports(data_dir: Path) -> tuple[int, ...]:
    """Returns the ports of the store's parts from its last start; empty before the first start."""
    return tuple(read_json(data_dir / "ports.json") or ())


def prepare(spec: StoreSpec) -> list[str]:
    """Writes the store's configuration and returns its command line, to be run in `data_dir`.

    Only the S3 port checks access keys. The filer's HTTP, which would need none, is turned off, and so are
    the master's commands. local/store_locks.py locks the other ports.
    """
    # The import takes 0.1 s, and most commands of the local stack start no store.
    from local import store_locks

    data_dir = spec.data_dir.resolve()
    users = [
        _identity("uvr", spec.keys, UPLOADER_ACTIONS),
        _identity("api", load_api_keys(data_dir), api_actions(spec.bucket, spec.prefix)),
        _identity("processor", load_processor_keys(data_dir), processor_actions(spec.bucket, spec.prefix)),
    ]
    write_private(data_dir / _IDENTITIES, json.dumps({"identities": users}))
    # SeaweedFS looks for security.toml in its working directory before anywhere else.
    store_locks.write_locks(data_dir)
    for name in ("weed-logs", "data"):
        (data_dir / name).mkdir(parents=True, exist_ok=True)
    # Names in the working directory: a comma in -dir separates two directories.
    command = [str(WEED), "-logdir=weed-logs", "server", "-dir=data"]
    return [*command, *_server_options(spec)]


def _server_options(spec: StoreSpec) -> list[str]:
    s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = spec.inner_ports
    return [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        "-master.telemetry=false",
        # The only master waits for the votes of others at each start but the first: 10 s by default.
        "-master.electionTimeout=1s",
        "-master.volumeSizeLimitMB=1024",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        # 0: as many volumes as fit on the disk. The first object of a bucket creates seven.
        "-volume.max=0",
        "-volume.preStopSeconds=0",
        "-disableHttp",
        "-filer",
        "-filer.disableHttp",
        f"-filer.port={filer}",
        f"-filer.port.grpc={filer_grpc}",
        "-s3",
        f"-s3.port={spec.port}",
        f"-s3.port.grpc={s3_grpc}",
        f"-s3.config={_IDENTITIES}",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # Otherwise a PUT to a bucket that does not exist succeeds.
        "-s3.autoCreateBucket=false",
    ]


def _identity(name: str, keys: Keys, actions: list[str]) -> dict[str, object]:
    credentials = [{"accessKey": keys.access_key, "secretKey": keys.secret_key}]
    return {"name": name, "credentials": credentials, "actions": actions}


def remove_sockets(data_dir: Path, port: int) -> None:
    """Removes the sockets of a killed store, and leaves those of other users and of running stores."""
    for number in (port, *inner_ports(data_dir)):
        for path in _sockets(number):
            if not _is_of_another_user(path) and not _accepts(path):
                path.unlink(missing_ok=True)


def sockets_of_others(port: int) -> list[Path]:
    """Returns the sockets that keep a store from this port: SeaweedFS ends where it cannot remove one."""
    return [path for path in _sockets(port) if _is_of_another_user(path)]


def _sockets(port: int) -> list[Path]:
    """Returns the sockets that stores with this port have made. SeaweedFS always puts them in /tmp."""
    return list(Path("/tmp").glob(f"seaweedfs-*-{port}.sock"))


def _is_of_another_user(path: Path) -> bool:
    try:
        return os.geteuid() not in (0, path.lstat().st_uid)
    except FileNotFoundError:
        return False


def _accepts(path: Path) -> bool:
    """Returns False if nobody listens on the socket any more."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # somebody listens, and is busy
            return True
        return True


def main() -> None:
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: python -m local.store DATA_DIR S3_PORT BUCKET [S3_PREFIX]")
    os.umask(UMASK)
    spec = make_spec(Path(sys.argv[1]), sys.argv[3], int(sys.argv[2]), *sys.argv[4:])
    command = prepare(spec)
    os.chdir(spec.data_dir)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
