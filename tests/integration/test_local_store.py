"""Tests that the store of the local stack behaves like S3 where the uploader relies on it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError

from local import store, store_client
from tests.support.servers import SeaweedServer

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    server = SeaweedServer(tmp_path_factory.mktemp("own") / "store")
    try:
        server.start()
        yield server
    finally:
        server.kill()


def test_a_put_to_a_missing_bucket_is_refused(s3_store):
    with pytest.raises(ClientError) as caught:
        s3_store.client().put_object(Bucket="never-made", Key="key", Body=b"x")
    assert caught.value.response["Error"]["Code"] == "NoSuchBucket"


def test_the_first_writer_of_a_key_wins(s3_store):
    client = s3_store.client()
    client.put_object(Bucket=s3_store.bucket, Key="once", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as caught:
        client.put_object(Bucket=s3_store.bucket, Key="once", Body=b"second", IfNoneMatch="*")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert client.get_object(Bucket=s3_store.bucket, Key="once")["Body"].read() == b"first"


def test_nothing_is_read_without_a_signature(s3_store):
    client = s3_store.client()
    client.put_object(Bucket=s3_store.bucket, Key="private", Body=b"secret")
    assert requests.get(f"{s3_store.endpoint_url}/{s3_store.bucket}/private", timeout=10).status_code == 403
    link = client.generate_presigned_url("get_object", Params={"Bucket": s3_store.bucket, "Key": "private"})
    assert requests.get(link, timeout=10).content == b"secret"


@pytest.mark.slow
def test_objects_survive_a_sigkill_and_other_inner_ports(tmp_path):
    server = SeaweedServer(tmp_path / "store")
    try:
        server.start()
        body = bytes(range(256)) * 40_000
        server.address.client().put_object(Bucket=server.address.bucket, Key="stem", Body=body)
        server.kill()
        (tmp_path / "store" / "ports.json").unlink()
        again = SeaweedServer(tmp_path / "store")
        assert again.spec.inner_ports != server.spec.inner_ports
        server = again
        server.start()
        stored = server.address.client().get_object(Bucket=server.address.bucket, Key="stem")
        assert stored["Body"].read() == body
    finally:
        server.kill()


def test_a_service_can_do_with_its_keys_what_it_needs_and_no_more(server):
    bucket, data_dir, url = server.address.bucket, server.spec.data_dir, server.address.endpoint_url
    keys = ("uploads/o/i/audio", "stage/t/x.wav", "cache/o/d.json", "result/1/vocals.wav")
    for key in keys:
        server.address.client().put_object(Bucket=bucket, Key=key, Body=b"x")
    api = store_client.client(url, store.load_api_keys(data_dir))
    processor = store_client.client(url, store.load_processor_keys(data_dir))
    assert [_allowed(api.get_object, bucket, key) for key in keys] == [True, True, True, True]
    assert [_allowed(api.put_object, bucket, key) for key in keys] == [True, False, False, False]
    assert [_allowed(processor.get_object, bucket, key) for key in keys] == [True, True, True, False]
    assert [_allowed(processor.put_object, bucket, key) for key in keys] == [False, True, False, False]
    theft = {"CopySource": {"Bucket": bucket, "Key": keys[3]}}
    assert not _allowed(processor.copy_object, bucket, "stage/theft", **theft)
    assert [_allowed(processor.delete_object, bucket, key) for key in keys] == [False, True, False, False]
    assert [_allowed(api.delete_object, bucket, key) for key in keys] == [True, False, False, False]


def _allowed(call, bucket: str, key: str, **more: object) -> bool:
    try:
        call(Bucket=bucket, Key=key, **more)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_it_listens_on_the_loopback_interface_only(server):
    assert _listening_addresses(server.process.pid) == {"0100007F"}


def _listening_addresses(pid: int) -> set[str]:
    """Returns the addresses of the process's listening sockets, as /proc/net/tcp writes them."""
    held = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True, check=True).stdout
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in held:
                found.add(fields[1].partition(":")[0])
    return found


MEANT_FOR_OTHERS = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "AWS_PROFILE": "made-elsewhere",
    "AWS_RETRY_MODE": "none of them",
    "AWS_MAX_ATTEMPTS": "many",
    "AWS_DEFAULTS_MODE": "none of them",
    "AWS_CONFIG_FILE": "{files}/config",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "none of them",
}


@pytest.mark.parametrize("name", MEANT_FOR_OTHERS)
def test_a_variable_that_is_meant_for_another_store_keeps_nobody_from_this_one(
    server, tmp_path, monkeypatch, name
):
    (tmp_path / "config").write_text("[default]\nretry_mode = none of them\n")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(name, MEANT_FOR_OTHERS[name].format(files=tmp_path))
    store_client._kept_client.cache_clear()
    spec = server.spec
    assert store_client.readiness(spec.data_dir, spec.port, spec.bucket) == (True, "")


def test_why_the_store_is_not_ready_is_told(server, tmp_path):
    spec = server.spec
    with_other_keys = store_client.readiness(tmp_path, spec.port, spec.bucket)
    assert with_other_keys[0] is False
    assert "403" in with_other_keys[1]
