"""A stranger's file opens no other file, and its decoder ends at its limits."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from common.errors import Cancelled, ErrorCode, PermanentError, TransientError
from processor.audio.prepare import AudioLimits, DecoderLimits, prepare
from tests.support import audio

pytestmark = pytest.mark.usefixtures("no_forks")

LIMITS = AudioLimits(max_duration_s=3600, max_channels=2)

PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile '{canary}'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{canary}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    "<AdaptationSet><Representation><BaseURL>{canary}</BaseURL></Representation></AdaptationSet>"
    "</Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio 5004 RTP/AVP 0\na={canary}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_dressed_as_mp3_opens_no_other_file(tmp_path, kind):
    canary = tmp_path / "canary.wav"
    os.mkfifo(canary)
    opened = threading.Event()

    def watch() -> None:
        os.close(os.open(canary, os.O_WRONLY))  # returns once somebody opens it for reading
        opened.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    (tmp_path / "a.mp3").write_text(PLAYLISTS[kind].format(canary=canary))
    try:
        with pytest.raises(PermanentError) as caught:
            prepare(tmp_path / "a.mp3", tmp_path / "prepared.out", LIMITS, lambda: None)
        assert caught.value.code == ErrorCode.NOT_AUDIO
        assert not opened.is_set()
    finally:
        reader = os.open(canary, os.O_RDONLY | os.O_NONBLOCK)
        watcher.join()
        os.close(reader)


@pytest.fixture(scope="module")
def long_song(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.flac"
    return audio.write(path, np.zeros((1800 * audio.SAMPLE_RATE, 2), np.int16), "PCM_16")


def test_a_cancelled_job_ends_the_decoder_and_leaves_nothing(tmp_path, long_song):
    children = []
    servers = set(own_children())

    def check() -> None:
        if (tmp_path / "prepared.out").exists():
            children.extend(set(own_children()) - servers)
            raise Cancelled

    with pytest.raises(Cancelled):
        prepare(long_song, tmp_path / "prepared.out", LIMITS, check)
    assert not (tmp_path / "prepared.out").exists()
    assert children
    assert not set(children) & set(own_children())


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (signal.SIGSEGV, PermanentError, ErrorCode.NOT_AUDIO),
        (signal.SIGXCPU, PermanentError, ErrorCode.NOT_AUDIO),
        (signal.SIGKILL, TransientError, ErrorCode.OUT_OF_MEMORY),
    ],
)
def test_a_decoder_that_dies_is_named(tmp_path, long_song, number, kind, code):
    # among the children are also the servers that the session's tests share
    servers = set(own_children())

    def check() -> None:
        if (tmp_path / "prepared.out").exists():
            for pid in set(own_children()) - servers:
                os.kill(pid, number)

    with pytest.raises(kind, match=number.name) as caught:
        prepare(long_song, tmp_path / "prepared.out", LIMITS, check)
    assert caught.value.code == code
    assert not (tmp_path / "prepared.out").exists()


def test_a_decoder_that_hangs_is_ended(tmp_path, long_song):
    """It uses no CPU time, so that the limit on that never ends it."""
    servers = set(own_children())
    limit_s = DecoderLimits.for_audio(LIMITS).wall_s
    hanging, now_s = set(), 0.0

    def check() -> None:
        nonlocal now_s
        if (tmp_path / "prepared.out").exists():
            for pid in set(own_children()) - servers:
                os.kill(pid, signal.SIGSTOP)
                hanging.add(pid)
        if hanging:
            assert now_s < limit_s, "it may go on for ever"
            now_s += limit_s / 10

    with pytest.raises(TransientError, match=f"not done after {limit_s} s") as caught:
        prepare(long_song, tmp_path / "prepared.out", LIMITS, check, clock=lambda: now_s)
    assert caught.value.code == ErrorCode.INTERNAL_ERROR
    assert not (tmp_path / "prepared.out").exists()
    assert hanging
    assert not hanging & set(own_children())


def test_a_decoder_that_does_not_start_is_not_the_files_fault(tmp_path):
    song = audio.write(tmp_path / "a.wav", audio.noise(0.1))
    servers = set(own_children())

    def check() -> None:
        for pid in set(own_children()) - servers:
            os.kill(pid, signal.SIGSEGV)  # it has not read a byte of the file yet

    with pytest.raises(TransientError, match="did not start: killed by SIGSEGV") as caught:
        prepare(song, tmp_path / "prepared.out", LIMITS, check)
    assert caught.value.code == ErrorCode.INTERNAL_ERROR


def own_children() -> list[int]:
    """The processes that this thread has started and that still run."""
    text = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
    return [int(pid) for pid in text.split()]
