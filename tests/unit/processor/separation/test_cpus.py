"""The cores that a process may use are bounded by its container's quota."""

import os

import pytest

from processor.separation.runtimes import cpus

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000", ALLOWED),
        ("100000 100000", 1),
        ("20000 100000", 1),
        (f"{100_000 * ALLOWED * 4} 100000", ALLOWED),
        ("", ALLOWED),
        ("150000", ALLOWED),
    ],
)
def test_a_quota_bounds_the_cores(tmp_path, text, expected):
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert cpus.usable(quota) == expected


def test_without_a_quota_the_cores_that_the_process_may_run_on_count(tmp_path):
    assert cpus.usable(tmp_path / "absent") == ALLOWED
