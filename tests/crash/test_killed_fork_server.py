"""The process that forks decoders is killed while one of them is at work."""

import os
import signal

import numpy as np
import pytest

from processor import fork_server
from tests.support import audio
from tests.support.crash import PROCESSOR, CrashSystem
from tests.support.http_server import in_turn, serve
from tests.support.processes import child_named_after
from tests.support.processor import forked_children
from tests.support.waiting import wait_for

PATIENCE_S = 60


@pytest.mark.slow
def test_a_killed_fork_server_costs_its_song_a_try_and_has_a_successor(
    system: CrashSystem, song: bytes, tmp_path
):
    trio = system.trio
    trio.start("api", "uploader", PROCESSOR)
    processor = trio.services["stand_in_processor"]
    template = forked_children.server_of_decoders(processor.process.env).process.pid

    def server() -> int | None:
        return child_named_after(template, fork_server.MODULE)

    killed = wait_for(server, PATIENCE_S, "the fork server")
    # Long enough to be stopped on the way.
    silence = np.zeros((900 * audio.SAMPLE_RATE, 2), np.int16)
    long = audio.write(tmp_path / "song.flac", silence, "PCM_16").read_bytes()
    task_uuid = trio.submit(trio.song(in_turn(serve(long), serve(song))))
    decoder = wait_for(lambda: child_named_after(killed, forked_children.DECODER), PATIENCE_S, "decoder")
    os.kill(decoder, signal.SIGSTOP)  # so that it does not get to its end
    os.kill(killed, signal.SIGKILL)
    system.assert_seen_once(task_uuid, task_retries=1)
    assert "the fork server ended: killed by SIGKILL" in processor.log()
    assert "The decoder was killed by SIGKILL" in processor.log()
    wait_for(lambda: server() not in (None, killed), PATIENCE_S, "a successor")
