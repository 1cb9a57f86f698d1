"""Hundreds of bad jobs through one living processor handler: nothing of them stays, in memory or on disk."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import audio
from tests.support.http_server import ScriptedServer, redirect, serve
from tests.support.paths import REPOSITORY
from tests.support.processor.hostile_downloads import SERVERS
from tests.support.processor.hostile_files import NOISE, flac_declaring, mp4_patched, wav
from tests.support.processor.hostile_playlists import PLAYLISTS
from tests.support.waiting import below

pytestmark = [pytest.mark.network, pytest.mark.slow]

JOBS = 500
# One job of so many gets as far as a decoder's process, which costs more than all that the others do.
TURN = 10


@pytest.fixture
def server():
    with ScriptedServer() as server:
        yield server


def bad_files(directory: Path) -> list[tuple[bytes, str]]:
    flac = audio.write(directory / "whole.flac", NOISE, "PCM_16").read_bytes()
    return [
        (b"<!doctype html><title>Sign in</title>", "not_audio"),
        (flac[: len(flac) // 2], "truncated_audio"),
        (wav(rate=1), "not_audio"),
        (wav(channels=9), "too_many_channels"),
        (mp4_patched(b"stsz", 4, ">II", 1, 0xFFFFFFFF)(directory), "truncated_audio"),
        (flac_declaring(2**36 - 1)(directory), "too_long"),
        (PLAYLISTS["a.ffconcat"].format(canary="/etc/hostname").encode(), "not_audio"),
        (audio.video_only(directory / "a.mkv").read_bytes(), "no_audio_stream"),
    ]


def kinds(server: ScriptedServer, directory: Path) -> list[tuple[str, str, str]]:
    """Origin, path and code of each bad job; one of TURN starts a decoder."""
    cheap = [
        ("", f"http://{host}/a.wav", "address_blocked") for host in ("127.0.0.1", "inside.test", "[::1]")
    ]
    cheap.append(("", "ftp://inside.test/a.wav", "address_invalid"))
    server.on("/inside", redirect("http://169.254.169.254/latest/meta-data/"))
    server.on("/loop", redirect("/loop"))
    cheap += [(server.origin, "/inside", "address_blocked"), (server.origin, "/loop", "http_error")]
    for number, (script, ending) in enumerate(SERVERS.values()):
        if ending.code not in (None, "download_timeout"):
            server.on(f"/server{number}", script)
            cheap.append((server.origin, f"/server{number}", ending.code))
    costly = []
    for number, (content, code) in enumerate(bad_files(directory)):
        server.on(f"/file{number}", serve(content))
        costly.append((server.origin, f"/file{number}", code))
    return [kind for turn in range(9 * len(cheap)) for kind in _turn(cheap, costly, turn)]


def _turn(cheap: list, costly: list, turn: int) -> list:
    cheap_ones = TURN - 1
    return [
        *(cheap[(cheap_ones * turn + n) % len(cheap)] for n in range(cheap_ones)),
        costly[turn % len(costly)],
    ]


def test_bad_jobs_leave_nothing(server, tmp_path):
    (tmp_path / "workshop").mkdir()
    (tmp_path / "kinds.json").write_text(json.dumps(kinds(server, tmp_path / "workshop")))
    arguments = [str(tmp_path / "run"), str(tmp_path / "kinds.json"), str(JOBS)]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.processor.bad_jobs", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    jobs, usage = [x for x in lines if "job" in x], [x for x in lines if "jobs" in x]
    assert len(jobs) == JOBS
    assert [job for job in jobs if job["code"] != job["expected"]] == []
    assert len({job["code"] for job in jobs}) >= 9
    first, last = usage[0], usage[-1]
    print(usage)
    assert last["descriptors"] == first["descriptors"]
    assert last["rss_bytes"] < 1.03 * first["rss_bytes"]
    assert [point["children"] for point in usage] == [0] * len(usage)
    assert below(tmp_path / "run") in ([], [str(tmp_path / "run" / "temp")])
