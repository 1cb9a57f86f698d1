"""Servers that lie, stall or flood: each download ends as the table says, and leaves nothing."""

import os
from pathlib import Path

import pytest

from common.errors import ErrorCode, JobError, PermanentError, TransientError
from common.jobs.retry import RetryPolicy, RetrySchedule
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import download
from processor.audio.prepare import AudioLimits, prepare
from processor.audio.transfer import Clocks, DownloadLimits
from tests.support.common.worker.fakes import record
from tests.support.http_server import Script, ScriptedServer, serve, stall
from tests.support.processor.downloads import go_on
from tests.support.processor.hostile_downloads import RETRY_AFTER, SERVERS, Ending
from tests.support.sockets import Internet

pytestmark = pytest.mark.network

PUBLIC = "93.184.216.34"
LIMITS = DownloadLimits(max_bytes=1 << 20, deadline_s=1)
HOUR = DownloadLimits(max_bytes=1 << 20, deadline_s=3600, timeout_s=3600)


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def fetch(server, tmp_path):
    web = Internet({"public.test": [[PUBLIC]]}, {PUBLIC: server.port})
    network = OutboundNetwork(AddressPolicy(frozenset({80})), web.resolve, connect=web.connect)

    def fetch(script: Script, limits: DownloadLimits = LIMITS, path: str = "/song.wav", **kwargs):
        server.on(path, script)
        return download(f"http://public.test{path}", tmp_path, limits, network, go_on, **kwargs)

    return fetch


def failing(fetch, script: Script, limits: DownloadLimits = LIMITS, **kwargs) -> JobError:
    with pytest.raises(JobError) as caught:
        fetch(script, limits, **kwargs)
    return caught.value


def ends_as(ending: Ending, error: JobError) -> bool:
    return (error.code, isinstance(error, PermanentError)) == (ending.code, ending.permanent)


@pytest.mark.parametrize(("script", "ending"), SERVERS.values(), ids=SERVERS)
def test_a_download_ends_as_expected_and_leaves_nothing(fetch, tmp_path, script, ending):
    # A server that only stalls is ended by the deadline; no other needs it.
    limits = LIMITS if ending.code == ErrorCode.DOWNLOAD_TIMEOUT else HOUR
    if ending.code is None:
        file = fetch(script, limits)
        assert file.size_bytes == file.path.stat().st_size == ending.size_bytes
        return
    error = failing(fetch, script, limits)
    assert ends_as(ending, error), error
    assert list(tmp_path.iterdir()) == []
    assert error.message.isprintable()


@pytest.mark.parametrize(("value", "delay_s"), RETRY_AFTER)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_rounded_up_to_the_next_delay_and_capped(fetch, status, value, delay_s):
    script = serve(b"", status, headers=[("Retry-After", value.encode().decode("latin-1"))])
    error = failing(fetch, script, clocks=Clocks(wall=lambda: 100.0))
    assert isinstance(error, TransientError)
    policy = RetryPolicy("tasks", [30, 300, 3600])
    assert policy.next_try(record(1), error, RetrySchedule("job", 3), 0.0).at == delay_s


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.sh",
        "/etc/cron.d/evil",
        "..\\..\\evil.exe",
        "mix.wav",
        "a" * 5000,
        "%2e%2e%2fevil",
        "nul\\x00",
    ],
)
@pytest.mark.parametrize("form", ['attachment; filename="{}"', "attachment; filename*=UTF-8''{}"])
def test_a_name_that_the_server_gives_is_not_used(fetch, tmp_path, name, form):
    file = fetch(serve(b"song", headers=[("Content-Disposition", form.format(name))]))
    assert file.path == tmp_path / "input.wav"
    assert os.listdir(tmp_path) == ["input.wav"]


@pytest.mark.parametrize(
    "path",
    [
        "/..%2f..%2fevil.sh",
        "/a.wav%00.sh",
        "/a.w%2fv",
        "/a.%2e%2e",
        "/a.wav%0a",
        "/" + "a" * 3000 + ".b",
        "/..",
    ],
)
def test_a_name_in_the_address_stays_in_the_directory(fetch, tmp_path, path):
    file = fetch(serve(b"song"), path=path)
    assert file.path.parent == tmp_path
    assert len(file.path.name) < 20
    assert file.path.name.isprintable()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<!doctype html><title>Sign in</title>", "text/html"),
        (b"<!doctype html><title>Sign in</title>", "audio/wav"),
        (b'{"error": "no such file"}', "application/json"),
        (b'{"error": "no such file"}', "audio/mpeg"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "application/xml"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "text/plain"),
    ],
)
def test_a_page_instead_of_a_song_is_not_audio_for_good(fetch, tmp_path, body, content_type):
    file = fetch(serve(body, content_type=content_type))
    with pytest.raises(PermanentError) as caught:
        prepare(file.path, tmp_path / "mix.wav", AudioLimits(60, 8), go_on)
    assert caught.value.code == ErrorCode.NOT_AUDIO


class TestDisk:
    @pytest.mark.parametrize("declared_bytes", [4, None])
    def test_too_little_room_is_seen_before_a_byte_is_written(self, fetch, tmp_path, declared_bytes):
        wanted = []

        def free_bytes(directory: Path) -> int:
            wanted.append(directory)
            assert list(directory.iterdir()) == []
            return 3

        error = failing(fetch, serve(b"song", declared_bytes=declared_bytes), free_bytes=free_bytes)
        assert ends_as(Ending("disk_full"), error)
        assert wanted == [tmp_path]

    def test_a_disk_that_fills_up_on_the_way_is_not_for_good(self, fetch, tmp_path):
        # The kernel itself says that there is no room: nobody needs to be root for that.
        (tmp_path / "input.wav").symlink_to("/dev/full")
        error = failing(fetch, serve(b"x" * 1000), free_bytes=lambda directory: 1 << 40)
        assert ends_as(Ending("disk_full"), error)
        assert list(tmp_path.iterdir()) == []


def test_a_stalled_server_is_left_at_the_time_out_for_one_wait(fetch):
    error = failing(fetch, stall(), DownloadLimits(1 << 20, deadline_s=3600, timeout_s=0.5))
    assert ends_as(Ending("download_timeout"), error)
