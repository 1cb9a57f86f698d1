"""Counts the cores that this process may use."""

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable(quota: Path = _QUOTA) -> int:
    """Return the number of cores: those that the process may run on, and no more than its container's quota.

    `quota` is the file of cgroup v2 with the CPU time and the period in microseconds, or `max`.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        time_us, period_us = quota.read_text().split()
        return max(1, min(allowed, math.ceil(int(time_us) / int(period_us))))
    except (OSError, ValueError):  # no container, no quota (`max`), or cgroup v1
        return allowed
