"""The children that serve one song: fresh interpreters and forks, which are alike to whoever starts them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processor import child_process
from processor.audio.prepare import AudioLimits, prepare
from processor.child_process import Spawn
from processor.fork_server import ForkServer
from tests.support import audio
from tests.support.paths import REPOSITORY
from tests.support.processes import is_running
from tests.support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("no_forks")

DECODER = "processor.audio.decoder_process"
WRITER = "processor.output.process"  # waits for its job
LIMITS = AudioLimits(max_duration_s=3600, max_channels=2)
PATIENCE_S = 30


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    return audio.write(tmp_path_factory.mktemp("song") / "song.wav", audio.noise(0.5))


def started(**patience: float) -> ForkServer:
    server = ForkServer(**patience)
    server.start()
    wait_for(lambda: server.pid, PATIENCE_S, "a fork server")
    return server


@pytest.fixture
def server() -> Iterator[ForkServer]:
    made = started()
    yield made
    made.stop()


@pytest.fixture(params=["fresh", "forked"])
def spawn(request: pytest.FixtureRequest) -> Spawn:
    if request.param == "fresh":
        return child_process.spawn_for_song
    return request.getfixturevalue("server").spawn


def children_of(pid: int | None) -> set[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for children in found for child in children.read_text().split()}


def descriptors_of(pid: int | None) -> set[str]:
    return set(os.listdir(f"/proc/{pid}/fd"))


def open_here_and_in(server: ForkServer) -> tuple[int, int]:
    return len(descriptors_of(os.getpid())), len(descriptors_of(server.pid))


def test_a_song_is_decoded(spawn, song, tmp_path):
    decoded = prepare(song, tmp_path / "mix.wav", LIMITS, lambda: None, spawn=spawn)
    assert (decoded.frames, decoded.codec) == (audio.SAMPLE_RATE // 2, "pcm_f32le")


def test_an_exit_code_is_told(spawn):
    child, channel = spawn(DECODER, ["no request"])
    assert child.wait() == child.poll() == child.returncode == 1
    with pytest.raises(child_process.ChannelClosed):
        channel.receive(PATIENCE_S)


def test_a_child_runs_until_it_is_killed(spawn):
    child, _ = spawn(WRITER, [])
    assert child.poll() is None
    child_process.kill(child)
    assert child.poll() == child.returncode == -signal.SIGKILL
    child.kill()  # its end is known: nobody else is killed


def test_a_child_ends_when_its_channel_closes(spawn):
    child, channel = spawn(WRITER, [])
    channel.close()
    assert child.wait() == 0


def test_a_stop_of_the_whole_process_group_leaves_a_song_at_work(server, song, tmp_path):
    wait_for(lambda: "SIGTERM" in ignored(server.pid), PATIENCE_S, "a server that has begun")
    asked: set[int | None] = set()

    def check() -> None:
        for pid in {server.pid, *children_of(server.pid)}:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
            asked.add(pid)

    assert prepare(song, tmp_path / "mix.wav", LIMITS, check, spawn=server.spawn).frames
    assert server.pid in asked


def ignored(pid: int | None) -> set[str]:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return {number.name for number in signal.Signals if mask >> (number - 1) & 1}


def test_forks_at_once_keep_to_their_own_songs_and_leave_nothing_open(server, tmp_path):
    songs = [audio.write(tmp_path / f"{n}.wav", audio.noise(0.1 + n / 100)) for n in range(24)]
    child_process.kill(server.spawn(WRITER, [])[0])
    wait_for(lambda: not children_of(server.pid), PATIENCE_S, "a server without forks")
    before = open_here_and_in(server)

    def frames(path: Path) -> int:
        return prepare(path, path.with_suffix(".mix"), LIMITS, lambda: None, spawn=server.spawn).frames

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(frames, songs))
    assert found == [round((0.1 + n / 100) * audio.SAMPLE_RATE) for n in range(24)]

    def nothing_is_left() -> bool:
        here, there = open_here_and_in(server)
        # The server may close a killed fork's descriptors a little after its end, so `before` may have them.
        # Here other tests' servers open and close connections too, but none for each song.
        return there <= before[1] and here < before[0] + len(songs)

    wait_for(nothing_is_left, PATIENCE_S, "end of what the songs have open")


def test_a_fork_holds_nothing_of_another(server):
    pairs = [server.spawn(WRITER, []) for _ in range(3)]
    forks = wait_for(
        lambda: len(children_of(server.pid)) == 3 and children_of(server.pid), PATIENCE_S, "forks"
    )
    # Standard input, output and errors, and its channel.
    wait_for(lambda: all(len(descriptors_of(pid)) == 4 for pid in forks), PATIENCE_S, "few descriptors")
    for child, channel in pairs:
        channel.close()
        assert child.wait() == 0


def test_a_fork_goes_before_the_processor_where_memory_runs_out(server):
    child, _ = server.spawn(WRITER, [])
    (fork,) = wait_for(lambda: children_of(server.pid), PATIENCE_S, "a fork")
    assert Path(f"/proc/{fork}/oom_score_adj").read_text().strip() == "1000"
    child_process.kill(child)


def test_a_killed_server_takes_its_forks_along_and_has_a_successor(server, song, tmp_path):
    child, _ = server.spawn(WRITER, [])
    killed = server.pid
    wait_for(lambda: children_of(killed), PATIENCE_S, "a fork")
    os.kill(killed, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    for turn in range(5):  # at once, until there is a successor and with it
        assert prepare(song, tmp_path / f"{turn}.wav", LIMITS, lambda: None, spawn=server.spawn).frames
    wait_for(lambda: server.pid not in (None, killed), PATIENCE_S, "a successor")
    child, _ = server.spawn(WRITER, [])
    wait_for(lambda: children_of(server.pid), PATIENCE_S, "a fork of the successor")
    child_process.kill(child)


def test_a_server_that_hangs_is_replaced(song, tmp_path):
    server = started(patience_s=0.2)
    child, _ = server.spawn(WRITER, [])
    hanging = server.pid
    wait_for(lambda: children_of(hanging), PATIENCE_S, "a fork")
    os.kill(hanging, signal.SIGSTOP)
    child_process.kill(child)
    assert child.returncode == -signal.SIGKILL
    wait_for(lambda: server.pid not in (None, hanging), PATIENCE_S, "a successor")
    assert prepare(song, tmp_path / "mix.wav", LIMITS, lambda: None, spawn=server.spawn).frames
    server.stop()


def test_all_end_with_the_processor():
    code = f"""
import sys, threading
from processor.fork_server import ForkServer
server = ForkServer()
server.start()
while not server.pid:
    pass
kept = server.spawn({WRITER!r}, [])
print(server.pid, flush=True)
sys.stdin.read()
"""
    processor = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True
    )
    server_pid = int(processor.stdout.readline())
    (fork,) = wait_for(lambda: children_of(server_pid), PATIENCE_S, "a fork")
    processor.kill()
    processor.wait()
    wait_for(lambda: not is_running(server_pid) and not is_running(fork), PATIENCE_S, "their ends")


def test_a_server_that_is_stopped_leaves_no_process_and_no_thread():
    server = started()
    child, _ = server.spawn(WRITER, [])
    server.stop()
    assert child.wait() == -signal.SIGKILL
    assert server.pid is None
    assert "fork-server" not in [thread.name for thread in threading.enumerate()]


def test_without_a_server_children_are_fresh_interpreters(song, tmp_path):
    assert prepare(song, tmp_path / "mix.wav", LIMITS, lambda: None, spawn=ForkServer().spawn).frames
