"""Downloads whose connection breaks: they go on where they broke, or begin again where that is not sure."""

import os
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from uuid import UUID

import pytest

from common.errors import ErrorCode, PermanentError, TransientError
from common.tasks.messages import Task
from processor.audio.partial_file import PartialDownloads
from processor.audio.transfer import Clocks, DownloadLimits
from tests.support.http_server import Connection, Request, ScriptedServer, reset, serve
from tests.support.processor.downloads import LIMITS, MB, Downloads
from tests.support.range_host import ETAG, RangeHost

pytestmark = pytest.mark.network

SONG = os.urandom(5 * MB)
OTHER = os.urandom(5 * MB)
KEPT_FOR_S = 3600.0


def clocks(on_sleep=lambda: None) -> Clocks:
    """Clocks whose pauses pass at once."""
    slept_s = 0.0

    def sleep(seconds: float) -> None:
        nonlocal slept_s
        slept_s += seconds
        on_sleep()

    return Clocks(monotonic=lambda: time.monotonic() + slept_s, sleep=sleep)


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def fetch(server, tmp_path, caplog):
    directory = tmp_path / "work"
    directory.mkdir()
    return Downloads(server, directory, caplog)


@pytest.fixture
def partials(tmp_path):
    return PartialDownloads(tmp_path / "downloads", KEPT_FOR_S, time.time)


def task(number: int = 1, **fields) -> Task:
    return Task(task_uuid=UUID(int=number), audio="http://h/song.wav", submitted_at=1, **fields)


SOME_TASK = task()


class TestWithinAnAttempt:
    @pytest.mark.parametrize(
        "version",
        [
            [ETAG],
            [("Last-Modified", formatdate(1e9, usegmt=True)), ("Date", formatdate(1e9 + 60, usegmt=True))],
        ],
        ids=["etag", "date"],
    )
    def test_a_broken_connection_goes_on_where_it_broke(self, server, fetch, version):
        host = RangeHost(SONG, version=version, cuts_at=[2 * MB, 2 * MB + 1, 4 * MB])
        server.on("/song.wav", host)
        file = fetch("/song.wav", clocks=clocks())
        assert file.path.read_bytes() == SONG
        assert file.size_bytes == host.sent_bytes == len(SONG)

    def test_the_log_tells_where_it_broke_and_where_it_goes_on(self, server, fetch):
        server.on("/song.wav", RangeHost(SONG, cuts_at=[2 * MB]))
        fetch("/song.wav", clocks=clocks())
        assert "Download broke off at 2.00 MB of 5.00 MB: the answer ended too early" in fetch.lines()
        assert "Download goes on at 2.00 MB of 5.00 MB" in fetch.lines()

    @pytest.mark.parametrize(
        "version",
        [
            [],
            [("ETag", 'W/"weak"')],
            [("ETag", "no quotes")],
            [("Last-Modified", formatdate(1e9, usegmt=True))],
            [("Last-Modified", formatdate(1e9, usegmt=True)), ("Date", formatdate(1e9 + 1, usegmt=True))],
            [("Last-Modified", "yesterday"), ("Date", "today")],
            [ETAG, ("Accept-Ranges", "none")],
        ],
        ids=["none", "weak", "not quoted", "no date", "changed just now", "no dates", "no ranges"],
    )
    def test_without_a_strong_validator_nothing_is_pieced_together(self, server, fetch, version):
        server.on("/song.wav", RangeHost(SONG, version=version, cuts_at=[2 * MB]))
        assert fetch.failing("/song.wav", clocks=clocks()).code == ErrorCode.NETWORK_ERROR
        assert len(server.requests()) == 1

    @pytest.mark.parametrize("answers_ranges", [True, False], ids=["as it should", "without ranges"])
    def test_a_file_that_changed_in_between_comes_whole(self, server, fetch, answers_ranges):
        host = RangeHost(SONG, cuts_at=[2 * MB], answers_ranges=answers_ranges)

        def script(request: Request, connection: Connection) -> None:
            host(request, connection)
            host.song, host.version = OTHER, [("ETag", '"second"')]

        server.on("/song.wav", script)
        assert fetch("/song.wav", clocks=clocks()).path.read_bytes() == OTHER

    @pytest.mark.parametrize(
        ("status", "fields"),
        [
            (206, [("Content-Range", f"bytes 0-{5 * MB - 1}/{5 * MB}")]),
            (206, [("Content-Range", f"bytes {2 * MB}-{5 * MB - 1}/{6 * MB}")]),
            (206, [("Content-Range", f"bytes {2 * MB}-{3 * MB}/{5 * MB}")]),
            (206, [("Content-Range", f"bytes {2 * MB}-{5 * MB - 1}/*")]),
            (206, [("Content-Range", "x" * 1000)]),
            (206, []),
            (206, [("Content-Range", f"bytes {2 * MB}-{5 * MB - 1}/{5 * MB}"), ("ETag", '"second"')]),
            (416, [("Content-Range", f"bytes */{MB}")]),
            (412, []),
        ],
        ids=[
            *("from the start", "another length", "a part of the rest", "no length", "no range"),
            *("nothing said", "another version", "not satisfiable", "precondition failed"),
        ],
    )
    def test_an_answer_that_is_not_the_rest_makes_it_ask_for_the_whole(self, server, fetch, status, fields):
        host = RangeHost(SONG, cuts_at=[2 * MB])

        def script(request: Request, connection: Connection) -> None:
            if "range" in request.headers:
                serve(OTHER[2 * MB :], status, headers=fields)(request, connection)
            else:
                host(request, connection)

        server.on("/song.wav", script)
        assert fetch("/song.wav", clocks=clocks()).path.read_bytes() == SONG
        assert ["range" in request.headers for request in server.requests()] == [False, True, False]

    def test_a_host_that_brings_no_more_is_given_up_after_a_few_tries(self, server, fetch):
        server.on("/song.wav", RangeHost(SONG, cuts_at=[2 * MB, *[2 * MB] * 20]))
        error = fetch.failing("/song.wav", clocks=clocks())
        assert isinstance(error, TransientError)
        assert error.code == ErrorCode.NETWORK_ERROR
        assert len(server.requests()) == 5

    @pytest.mark.parametrize(("status", "kind"), [(503, TransientError), (403, PermanentError)])
    def test_a_refusal_on_the_way_is_told_with_its_number(self, server, fetch, status, kind):
        host = RangeHost(SONG, cuts_at=[2 * MB])

        def script(request: Request, connection: Connection) -> None:
            (serve(b"", status) if "range" in request.headers else host)(request, connection)

        server.on("/song.wav", script)
        error = fetch.failing("/song.wav", clocks=clocks())
        assert (type(error), str(error)) == (kind, f"HTTP error: {status}")

    def test_a_cancel_is_heard_in_the_pause(self, server, fetch):
        server.on("/song.wav", RangeHost(SONG, cuts_at=[MB, *[MB] * 20]))
        cancelled = threading.Event()

        def check() -> None:
            if cancelled.is_set():
                raise PermanentError(ErrorCode.CANCELLED, "The task was cancelled")

        error = fetch.failing("/song.wav", check=check, clocks=clocks(cancelled.set))
        assert error.code == ErrorCode.CANCELLED

    def test_more_than_the_limit_is_not_taken_in_pieces_either(self, server, fetch):
        server.on("/song.wav", RangeHost(SONG, cuts_at=[2 * MB]))
        limits = DownloadLimits(max_bytes=4 * MB, deadline_s=60)
        assert fetch.failing("/song.wav", limits, clocks=clocks()).code == ErrorCode.TOO_LARGE


class TestAcrossAttempts:
    @pytest.fixture
    def attempt(self, fetch, partials):
        def attempt(of: Task = SOME_TASK) -> bytes:
            """An attempt whose host gives no second chance."""
            with partials.of(of) as partial:
                file = fetch("/song.wav", LIMITS, clocks=clocks(), partial=partial)
            try:
                return file.path.read_bytes()
            finally:
                file.path.unlink()

        return attempt

    @pytest.fixture
    def host(self, server):
        """A host that breaks off at 90 % and is then away."""
        cut = len(SONG) * 9 // 10
        host = RangeHost(SONG, cuts_at=[cut])
        away = threading.Event()

        def script(request: Request, connection: Connection) -> None:
            if away.is_set():
                return reset()(request, connection)
            host(request, connection)
            away.set()
            return None

        server.on("/song.wav", script)
        host.come_back = away.clear
        return host

    def test_the_next_attempt_fetches_only_what_is_missing(self, host, attempt, partials, fetch):
        with pytest.raises(TransientError):
            attempt()
        assert fetch.lines()[-1] == "Kept 4.50 MB of the download for the next attempt"
        assert list(fetch.directory.iterdir()) == []
        host.come_back()
        assert attempt() == SONG
        assert host.sent_bytes == len(SONG)
        assert list(partials.root.iterdir()) == []

    def test_a_file_that_changed_between_the_attempts_comes_whole(self, host, attempt):
        with pytest.raises(TransientError):
            attempt()
        host.come_back()
        host.song, host.version = OTHER, [("ETag", '"second"')]
        assert attempt() == OTHER

    @pytest.mark.parametrize(
        "other", [task(2), task(run=2), task().model_copy(update={"audio": "http://o/"})]
    )
    def test_another_task_run_or_address_begins_at_its_own_beginning(self, host, attempt, other):
        with pytest.raises(TransientError):
            attempt()
        host.come_back()
        assert attempt(other) == SONG
        assert host.sent_bytes == len(SONG) * 19 // 10

    def test_a_task_that_has_failed_for_good_leaves_nothing(self, server, host, attempt, partials):
        with pytest.raises(TransientError):
            attempt()
        server.on("/song.wav", serve(b"", 404))
        with pytest.raises(PermanentError):
            attempt()
        assert list(partials.root.iterdir()) == []

    def test_what_was_killed_right_before_it_got_its_name_is_not_fetched_again(self, server, partials, fetch):
        server.on("/song.wav", RangeHost(SONG))
        with partials.of(task()) as partial:
            partial.begin(None)
            fetch("/song.wav", clocks=clocks(), partial=partial).path.rename(partial.path)
            Path(f"{partial.path.with_suffix('')}.json").write_text(partial.version.to_text())
        with partials.of(task()) as partial:
            assert fetch("/song.wav", clocks=clocks(), partial=partial).path.read_bytes() == SONG
        assert len(server.requests()) == 1

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"validator": "x"}', "\x00", '{"size_bytes": "many"}'])
    def test_a_spoilt_description_makes_it_begin_again(self, host, attempt, partials, text):
        with pytest.raises(TransientError):
            attempt()
        next(partials.root.glob("*.json")).write_text(text)
        host.come_back()
        assert attempt() == SONG

    def test_a_frozen_process_keeps_its_file_and_another_one_begins_anew(self, server, partials, fetch):
        server.on("/song.wav", RangeHost(SONG))
        with partials.of(task()) as first, partials.of(task()) as second:
            assert first is not None
            assert second is None
            assert fetch("/song.wav", clocks=clocks(), partial=second).path.read_bytes() == SONG

    def test_what_nobody_asks_for_again_goes_after_its_time(self, host, attempt, partials):
        with pytest.raises(TransientError):
            attempt()
        kept = next(partials.root.glob("*.part"))
        changed_s = kept.stat().st_mtime
        with replace(partials, wall_clock=lambda: changed_s + KEPT_FOR_S - 1).of(task(2)):
            assert kept.exists()
        with replace(partials, wall_clock=lambda: changed_s + KEPT_FOR_S).of(task(2)):
            assert not kept.exists()
        assert list(partials.root.iterdir()) == []

    def test_a_full_disk_takes_the_room_of_what_others_left(self, server, host, attempt, partials, fetch):
        with pytest.raises(TransientError):
            attempt()
        server.on("/song.wav", RangeHost(SONG))
        free = iter([MB, 6 * MB])
        with partials.of(task(2)) as partial:
            partial.make_room = lambda needed_bytes: partials.make_room(1 << 62)
            fetch("/song.wav", clocks=clocks(), partial=partial, free_bytes=lambda directory: next(free))
        assert list(partials.root.iterdir()) == []
