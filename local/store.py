"""An S3 store on one machine: SeaweedFS from its wheel, bound to the loopback interface.

    python -m local.store DATA_DIR S3_PORT BUCKET

runs it in the foreground with keys of its own (written to DATA_DIR/keys.json). SIGTERM ends it; its data
survives SIGKILL. The bucket is made by `create_bucket`, once the store answers.
"""

import json
import os
import secrets
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local import store_locks
from local.ports import free_ports, is_free
from local.private_files import UMASK, write_private

REGION = "us-east-1"
_TRIAL_KEY = ".writable"
WEED = Path(sysconfig.get_path("scripts")) / "weed"


@dataclass(frozen=True)
class Keys:
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class StoreSpec:
    """One store: its own data directory, the S3 port and seven more for its parts."""

    data_dir: Path
    bucket: str
    port: int
    inner_ports: tuple[int, ...]
    keys: Keys

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def load_keys(path: Path) -> Keys:
    """The keys in `path`, made at the first call; readable by the owner alone."""
    if not path.exists():
        keys = {"access_key": secrets.token_hex(10).upper(), "secret_key": secrets.token_urlsafe(30)}
        write_private(path, json.dumps(keys))
    return Keys(**json.loads(path.read_text()))


def load_link_keys(data_dir: Path) -> Keys:
    """The keys that the api signs links with: they read the bucket's objects and do nothing else."""
    return load_keys(data_dir / "link-keys.json")


def make_spec(data_dir: Path, bucket: str, port: int) -> StoreSpec:
    """A store to be started on `port`. Its other ports are the last start's as long as they are free."""
    keys = load_keys(data_dir / "keys.json")
    inner = inner_ports(data_dir)
    if not inner or not all(map(is_free, inner)):
        inner = tuple(number for number in free_ports(8) if number != port)[:7]
        write_private(data_dir / "ports.json", json.dumps(inner))
    return StoreSpec(data_dir, bucket, port, inner, keys)


def inner_ports(data_dir: Path) -> tuple[int, ...]:
    """Those of the running store, or of the last one; none before the first start."""
    file = data_dir / "ports.json"
    return tuple(json.loads(file.read_text())) if file.exists() else ()


def prepare(spec: StoreSpec) -> list[str]:
    """Writes the store's configuration and returns its command line, to be run in `data_dir`.

    S3 alone knows who asks. The filer's HTTP, which needs no keys, is off, and so are the master's commands;
    the other inner ports have locks, see local/store_locks.py.
    """
    data_dir = spec.data_dir.resolve()
    identities = data_dir / "identities.json"
    who = [
        _identity("uvr", spec.keys, ["Admin", "Read", "Write", "List", "Tagging"]),
        _identity("links", load_link_keys(data_dir), [f"Read:{spec.bucket}"]),
    ]
    write_private(identities, json.dumps({"identities": who}))
    # Of all places, SeaweedFS looks first for its security.toml in the directory that it runs in.
    store_locks.write_locks(data_dir)
    s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc = spec.inner_ports
    data = data_dir / "data"
    data.mkdir(parents=True, exist_ok=True)
    return [
        str(WEED),
        f"-logdir={_made(data_dir / 'weed-logs')}",
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={master}",
        f"-master.port.grpc={master_grpc}",
        "-master.telemetry=false",
        # alone, it waits in vain for another's vote: from 10 s, at each start but the first
        "-master.electionTimeout=1s",
        "-master.volumeSizeLimitMB=1024",
        f"-volume.port={volume}",
        f"-volume.port.grpc={volume_grpc}",
        # as many volumes as the disk takes: a bucket's first object opens seven
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
        f"-s3.config={identities}",
        "-s3.iam=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # else a PUT to a bucket that is not there succeeds
        "-s3.autoCreateBucket=false",
    ]


def _identity(name: str, keys: Keys, actions: list[str]) -> dict:
    credentials = [{"accessKey": keys.access_key, "secretKey": keys.secret_key}]
    return {"name": name, "credentials": credentials, "actions": actions}


def create_bucket(endpoint_url: str, keys: Keys, bucket: str) -> None:
    """Raises BotoCoreError or ClientError when the store does not do it (yet)."""
    s3 = client(endpoint_url, keys)
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        s3.create_bucket(Bucket=bucket)


def client(endpoint_url: str, keys: Keys):
    """A boto3 client that gives up early, for loops that try again."""
    config = Config(
        connect_timeout=2, read_timeout=10, retries={"max_attempts": 0}, s3={"addressing_style": "path"}
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name=REGION,
        config=config,
    )


def is_ready(data_dir: Path, port: int, bucket: str) -> bool:
    """Whether the store takes objects. Makes the bucket if it is missing."""
    try:
        url, keys = f"http://127.0.0.1:{port}", load_keys(data_dir / "keys.json")
        create_bucket(url, keys, bucket)
        _try_a_write(url, keys, bucket)
        return True
    except (BotoCoreError, ClientError, OSError, ValueError):
        return False


def _try_a_write(endpoint_url: str, keys: Keys, bucket: str) -> None:
    """The bucket can be seen seconds before its volumes have reported to the master after a restart."""
    s3 = client(endpoint_url, keys)
    s3.put_object(Bucket=bucket, Key=_TRIAL_KEY, Body=b"x")
    s3.delete_object(Bucket=bucket, Key=_TRIAL_KEY)


def remove_sockets(data_dir: Path, port: int) -> None:
    """Removes the sockets that a killed store leaves in /tmp, whatever its configuration says."""
    for number in (port, *inner_ports(data_dir)):
        for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
            path.unlink(missing_ok=True)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit("usage: python -m local.store DATA_DIR S3_PORT BUCKET")
    os.umask(UMASK)
    spec = make_spec(Path(sys.argv[1]), sys.argv[3], int(sys.argv[2]))
    command = prepare(spec)
    os.chdir(spec.data_dir)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
