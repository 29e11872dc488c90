"""What this process may use of its machine: cores and memory, by its affinity and its control group."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_GROUP = Path("/sys/fs/cgroup")


def cores(cpus: Path = _CPUS, group: Path = _GROUP) -> int:
    """Physical cores that this process may use, at least one.

    Two threads of one core share its arithmetic units, which a CPU engine fills with one of them. A control group's quota is
    rounded up: a quota of 1.5 cores is used by two threads.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    whole = {_text(cpus / f"cpu{number}/topology/thread_siblings_list") or str(number) for number in allowed}
    quota, _, period = _text(group / "cpu.max").partition(" ")
    most = math.ceil(int(quota) / int(period)) if quota.isdigit() and period.isdigit() and int(period) else len(whole)
    return max(1, min(len(whole), most))


def free_bytes(meminfo: Path = Path("/proc/meminfo"), group: Path = _GROUP) -> int | None:
    """Bytes of memory that this process could still take; None where the machine does not tell."""
    free = None
    for line in _text(meminfo).splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            free = int(value.split()[0]) * 1024
    limit, used = _text(group / "memory.max"), _text(group / "memory.current")
    if limit.isdigit() and used.isdigit():
        left = max(0, int(limit) - int(used))
        return left if free is None else min(free, left)
    return free


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
