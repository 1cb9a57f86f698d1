"""The out-of-memory killer: where its count is read, and which process it kills first."""

import os
import signal
from pathlib import Path

import pytest

from processor import child_process, memory
from processor.memory import OomKills, count_in
from tests.support.waiting import wait_for

V2_EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"
V1_CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /sys/fs/cgroup on a machine whose kernel tells nothing else."""
    monkeypatch.setattr(memory, "_MACHINE", tmp_path / "none")
    return tmp_path


def put(groups: Path, name: str, text: str) -> None:
    (groups / name).parent.mkdir(parents=True, exist_ok=True)
    (groups / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "name", "text", "expected"),
    [
        ("0::/\n", "memory.events", V2_EVENTS, 2),
        ("0::/system.slice/uvr.service\n", "system.slice/uvr.service/memory.events", V2_EVENTS, 2),
        # a container's own group is the root of what it sees, whatever its path is called
        ("0::/../other\n", "memory.events", V2_EVENTS, 2),
        ("4:memory:/docker/abc\n0::/\n", "memory/memory.oom_control", V1_CONTROL, 5),
        ("4:hugetlb,memory:/docker/abc\n", "memory/docker/abc/memory.oom_control", V1_CONTROL, 5),
        ("1:name=a\u2028b:/a\x85b\n4:memory:/docker/abc\n", "memory/memory.oom_control", V1_CONTROL, 5),
        ("3:cpu:/docker/abc\n", "memory/memory.oom_control", V1_CONTROL, None),
        ("0::/\n", "memory.events", "low 0\n", None),
    ],
)
def test_the_count_is_that_of_the_own_control_group(groups: Path, membership, name, text, expected):
    put(groups, name, text)
    assert count_in(memory._counters(membership, groups)) == expected


def test_without_a_control_group_the_machines_count_is_taken(groups: Path, monkeypatch: pytest.MonkeyPatch):
    put(groups, "vmstat", "pgfault 17\noom_kill 7\n")
    monkeypatch.setattr(memory, "_MACHINE", groups / "vmstat")
    assert count_in(memory._counters("0::/\n", groups)) == 7


def test_this_machine_tells_a_count():
    assert isinstance(memory.kill_count(), int)


@pytest.mark.parametrize(
    ("counts", "expected"), [([3, 4], True), ([3, 3], False), ([None, 4], None), ([3, None], None)]
)
def test_the_killer_has_struck_where_the_count_has_risen(counts, expected):
    assert OomKills(iter(counts).__next__).struck() is expected


def test_every_child_goes_before_its_parent():
    process, channel = child_process.spawn("tests.support.processor.environment_teller", [])
    try:
        channel.receive(60)
        score = Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip()
    finally:
        child_process.kill(process)
        channel.close()
    assert score == "1000"
    assert int(Path("/proc/self/oom_score_adj").read_text()) < 1000


def test_a_decoy_that_was_taken_is_replaced_and_ends_when_it_is_closed():
    decoy = memory.Decoy()
    decoy.keep()
    first = decoy.pid
    assert Path(f"/proc/{first}/oom_score_adj").read_text().strip() == "1000"
    decoy.keep()
    assert decoy.pid == first
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: decoy.keep() or decoy.pid != first, 30, "another decoy")
    second = decoy.pid
    decoy.close()
    assert not Path(f"/proc/{second}").exists()
