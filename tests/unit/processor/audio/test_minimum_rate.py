"""A download that is too slow for a minute ends; a download that is slow for a moment goes on."""

import itertools
from collections.abc import Callable, Iterable

import pytest

from common.errors import ErrorCode, TransientError
from common.settings.loading import load
from common.settings.schema import ProcessorSettings
from processor.assembly import download_limits
from processor.audio.minimum_rate import MinimumRate
from processor.audio.transfer import Clocks, DownloadLimits
from tests.support.http_server import ScriptedServer, drip, drip_headers, serve
from tests.support.processor.downloads import MB, Downloads


def observed(bytes_per_s: float, seen: Iterable[tuple[float, int]]) -> None:
    """Shows a download at these times, in seconds from its beginning, with so many bytes."""
    now_s = 0.0
    rate = MinimumRate(bytes_per_s, lambda: 1000.0 + now_s)
    for at_s, received in seen:
        now_s = at_s
        rate.check(received)


@pytest.mark.parametrize(
    "seen",
    [
        [(59.9, 0)],
        [(60, 6000)],
        [(30, 0), (60, 6000), (120, 12000)],
        [(1, 6000), (60, 6000), (90, 6000), (120, 12000)],
        [(60, 10**9), (120, 10**9 + 6000)],
        [(600, 60_000)],
    ],
    ids=[
        "less than a minute",
        "just enough",
        "in a rush",
        "with a pause",
        "each minute by itself",
        "asked late",
    ],
)
def test_a_rate_that_is_enough_over_each_minute_will_do(seen):
    observed(100, seen)


@pytest.mark.parametrize(
    "seen",
    [
        [(60, 0)],
        [(60, 5999)],
        [(t / 10, t) for t in range(601)],
        [(60, 6000), (120, 11999)],
        [(60, 10**9), (120, 10**9 + 5999)],
        [(600, 59_999)],
    ],
    ids=["nothing", "a little less", "a drip", "in the second minute", "after a rush", "asked late"],
)
def test_one_that_is_not_is_given_up(seen):
    with pytest.raises(TransientError, match="MIN_DOWNLOAD_BYTES_PER_S") as caught:
        observed(100, seen)
    assert caught.value.code == ErrorCode.DOWNLOAD_TIMEOUT


def test_the_error_says_how_slow_it_was():
    with pytest.raises(TransientError) as caught:
        observed(8192, [(60, 6000)])
    assert caught.value.message == (
        "The download is too slow: 100 bytes per second over 60 seconds, "
        "at least 8192 are expected (MIN_DOWNLOAD_BYTES_PER_S)"
    )


def test_at_0_any_rate_will_do():
    observed(0, [(t * 60, 0) for t in range(100)])


def test_the_setting_reaches_the_download(monkeypatch):
    monkeypatch.setenv("MIN_DOWNLOAD_BYTES_PER_S", "123")
    assert download_limits(load(ProcessorSettings)).min_bytes_per_s == 123


@pytest.mark.network
class TestDownloads:
    @pytest.fixture
    def server(self):
        with ScriptedServer() as server:
            yield server

    @pytest.fixture
    def fetch(self, server, tmp_path, caplog):
        return Downloads(server, tmp_path, caplog)

    def ticking(self, step_s: float) -> Callable[[], float]:
        """A clock by which `step_s` pass with each look at it."""
        ticks = itertools.count(0, step_s)
        return lambda: next(ticks)

    @pytest.mark.parametrize(
        "script",
        [
            drip(b"x" * 2000, seconds=600),
            drip(b"x" * 2000, seconds=600, with_length=False),
            drip_headers(0.05),
        ],
        ids=["a body", "a body without length", "a head"],
    )
    def test_a_host_that_drips_is_left(self, server, fetch, script):
        server.on("/song.wav", script)
        limits = DownloadLimits(MB, deadline_s=1e9, timeout_s=60, min_bytes_per_s=8192)
        error = fetch.failing("/song.wav", limits, clocks=Clocks(monotonic=self.ticking(2.0)))
        assert isinstance(error, TransientError)
        assert error.code == ErrorCode.DOWNLOAD_TIMEOUT
        assert "MIN_DOWNLOAD_BYTES_PER_S" in error.message

    def test_a_host_that_is_fast_enough_is_not(self, server, fetch):
        server.on("/song.wav", serve(b"x" * MB))
        limits = DownloadLimits(MB, deadline_s=1e9, min_bytes_per_s=100)
        assert fetch("/song.wav", limits, clocks=Clocks(monotonic=self.ticking(2.0))).size_bytes == MB
