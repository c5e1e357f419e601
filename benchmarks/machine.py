"""Processor time and memory of processes, from /proc; and what kind of machine this is."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def cpu_seconds(pid: int, *, whole_tree: bool = False) -> float:
    """User and system time so far. whole_tree: of its children too, also of those that have ended."""
    fields = stat_fields(pid)
    ticks = sum(fields[11:15] if whole_tree else fields[11:13])
    below = sum(cpu_seconds(child, whole_tree=True) for child in children(pid)) if whole_tree else 0.0
    return ticks / TICKS + below


def stat_fields(pid: int) -> list[int]:
    """What follows the name and the state in /proc/PID/stat, with the state as 0; zeros once it has ended."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return [0] * 50
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in (PROC / f"{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def resident_bytes(pid: int) -> int:
    """VmRSS: what it holds in memory, files that it shares with others too."""
    return _status(pid, "VmRSS:")


def anonymous_bytes(pid: int) -> int:
    """RssAnon: without mapped files, which may be cached or not."""
    return _status(pid, "RssAnon:")


def _status(pid: int, field: str) -> int:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"the kernel tells no {field}")


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}


def description() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "processor": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _cpu_model() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
