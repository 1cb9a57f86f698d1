"""Settings of a worker whose wrong values would do harm rather than fail."""

import pytest

from common.settings.loading import BadSettings, load
from common.settings.schema import ProcessorSettings, UploaderSettings
from tests.support.paths import TLS


@pytest.mark.parametrize("worker_id", ["..", ".", ".hidden", "a/b", "a b", "x" * 201])
def test_a_worker_id_that_leads_out_of_its_directory_is_refused(monkeypatch, worker_id):
    # The processor empties its own directory at start.
    monkeypatch.setenv("WORKER_ID", worker_id)
    with pytest.raises(BadSettings, match="WORKER_ID"):
        load(ProcessorSettings)


@pytest.mark.parametrize("worker_id", ["a", "host-1.example", "_x", "3f2a9c"])
def test_host_names_are_worker_ids(monkeypatch, worker_id):
    monkeypatch.setenv("WORKER_ID", worker_id)
    assert load(ProcessorSettings).worker_id == worker_id


@pytest.mark.parametrize("slots", ["0", "129"])
def test_slots_are_as_many_as_the_committed_metadata_can_name(monkeypatch, slots):
    monkeypatch.setenv("PROCESSOR_SLOTS", slots)
    with pytest.raises(BadSettings, match="SLOTS"):
        load(ProcessorSettings)


@pytest.mark.parametrize("delays", ["", "30,30", "300,30", "0", "-1", "1.5", "x"])
def test_retry_delays_that_are_not_ascending_seconds_are_refused(monkeypatch, delays):
    monkeypatch.setenv("RETRY_DELAYS_S", delays or ",")
    with pytest.raises(BadSettings, match="RETRY_DELAYS_S"):
        load(ProcessorSettings)


def test_retry_delays_are_read_in_their_order(monkeypatch):
    monkeypatch.setenv("RETRY_DELAYS_S", "1, 20,300")
    assert load(ProcessorSettings).retry_delays_s == (1, 20, 300)


def test_a_delay_that_outlasts_the_topics_would_lose_what_waits(monkeypatch):
    monkeypatch.setenv("KAFKA_RETENTION_MS", "60000")
    monkeypatch.setenv("RETRY_DELAYS_S", "1,60")
    with pytest.raises(BadSettings, match="KAFKA_RETENTION_MS"):
        load(ProcessorSettings)
    monkeypatch.setenv("RETRY_DELAYS_S", "1,59")
    assert load(ProcessorSettings).retry_delays_s == (1, 59)


def test_stems_that_would_go_before_a_result_that_names_them_are_refused(monkeypatch):
    monkeypatch.setenv("S3_BUCKET_NAME", "bucket")
    monkeypatch.setenv("STAGE_RETENTION_S", "3600")
    with pytest.raises(BadSettings, match="STAGE_RETENTION_S"):
        load(UploaderSettings)


@pytest.mark.parametrize("kind", [ProcessorSettings, UploaderSettings])
class TestPrivateAuthorities:
    @pytest.fixture(autouse=True)
    def bucket(self, monkeypatch):
        monkeypatch.setenv("S3_BUCKET_NAME", "bucket")

    def test_a_file_of_certificates_is_taken(self, monkeypatch, kind):
        path = TLS / "authority.pem"
        monkeypatch.setenv("OUTBOUND_CA_FILE", str(path))
        assert load(kind).outbound_ca_file == path

    @pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
    def test_another_file_or_none_is_refused_at_the_start(self, monkeypatch, tmp_path, kind, content):
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("OUTBOUND_CA_FILE", str(path))
        with pytest.raises(BadSettings, match="OUTBOUND_CA_FILE"):
            load(kind)


@pytest.mark.parametrize("rate", ["-1", "1.5", "fast"])
def test_a_minimum_rate_that_is_no_number_of_bytes_is_refused(monkeypatch, rate):
    monkeypatch.setenv("MIN_DOWNLOAD_BYTES_PER_S", rate)
    with pytest.raises(BadSettings, match="MIN_DOWNLOAD_BYTES_PER_S"):
        load(ProcessorSettings)


def test_the_minimum_rate_can_be_switched_off(monkeypatch):
    assert load(ProcessorSettings).min_download_bytes_per_s == 8192
    monkeypatch.setenv("MIN_DOWNLOAD_BYTES_PER_S", "0")
    assert load(ProcessorSettings).min_download_bytes_per_s == 0
