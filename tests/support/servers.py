"""A real Kafka and a real S3 store for tests, on free ports, in a temporary directory."""

import os
from dataclasses import dataclass
from pathlib import Path

from local import broker, store, store_client
from local.ports import answers
from tests.support.ports import take_port, take_ports
from tests.support.processes import ManagedProcess
from tests.support.waiting import wait_for

START_TIMEOUT_S = 90  # the jars may have to be fetched, on a busy machine


@dataclass(frozen=True)
class KafkaAddress:
    """A broker that the tests use but do not own."""

    bootstrap: str


class KafkaServer:
    """A broker that can be SIGKILLed, frozen and started again on the same ports with the same data."""

    def __init__(self, data_dir: Path):
        port, controller_port = take_ports(2)
        self.spec = broker.BrokerSpec(data_dir, port, controller_port, broker.default_cache())
        self.bootstrap = self.spec.bootstrap
        self.address = KafkaAddress(self.bootstrap)
        argv = broker.prepare(self.spec)
        self.process = ManagedProcess(argv, data_dir / "broker.log", cwd=data_dir)

    def start(self) -> None:
        """Returns once it takes connections."""
        self.process.start()
        wait_for(self._answers, START_TIMEOUT_S, f"Kafka at {self.bootstrap}")

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self.process.stop()

    def freeze(self) -> None:
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()

    def _answers(self) -> bool:
        assert self.process.returncode is None, f"Kafka ended: {self.process.output()[-2000:]}"
        return answers(self.spec.port)


@dataclass(frozen=True)
class S3Store:
    """Where the tests' stems go. The bucket is there."""

    endpoint_url: str
    access_key: str
    secret_key: str
    bucket: str
    region: str = store.REGION

    def client(self):
        """A boto3 client with these keys."""
        return store_client.client(self.endpoint_url, store.Keys(self.access_key, self.secret_key))

    def object_keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects that begin with `prefix`, in order."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def environment(self) -> dict[str, str]:
        """The uploader's settings for this store."""
        return {
            "S3_ENDPOINT_URL": self.endpoint_url,
            "S3_BUCKET_NAME": self.bucket,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }


class SeaweedServer:
    """A SeaweedFS that can be SIGKILLed and started again on the same ports with the same data."""

    def __init__(self, data_dir: Path, bucket: str = "uvr-test"):
        self.spec = store.make_spec(data_dir, bucket, take_port())
        self.process = ManagedProcess(store.prepare(self.spec), data_dir / "store.log", cwd=data_dir)
        keys = self.spec.keys
        self.address = S3Store(self.spec.endpoint_url, keys.access_key, keys.secret_key, bucket)

    def start(self) -> None:
        """Returns once it answers and the bucket is there."""
        self.process.start()
        wait_for(self._ready, START_TIMEOUT_S, f"store at {self.spec.endpoint_url}")

    def kill(self) -> None:
        self.process.kill()
        store.remove_sockets(self.spec.data_dir, self.spec.port)

    def _ready(self) -> bool:
        assert self.process.returncode is None, f"the store ended: {self.process.output()[-2000:]}"
        return store_client.readiness(self.spec.data_dir, self.spec.port, self.spec.bucket)[0]


def given_store(endpoint_url: str) -> S3Store:
    """The store of TEST_S3_ENDPOINT_URL, with the usual AWS variables and TEST_S3_BUCKET."""
    keys = store.Keys(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    bucket = os.environ.get("TEST_S3_BUCKET", "uvr-test")
    store_client.create_bucket(endpoint_url, keys, bucket)
    return S3Store(endpoint_url, keys.access_key, keys.secret_key, bucket)
