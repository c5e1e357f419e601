"""Waiting for processes that are not our children."""

from __future__ import annotations

import os
import select
import time


def ended(pid: int, timeout_seconds: float = 10.0) -> bool:
    """Whether the process is gone, or a mere zombie, within the time."""
    if not hasattr(os, "pidfd_open"):
        return _ended_by_polling(pid, timeout_seconds)
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_seconds * 1000))
    finally:
        os.close(descriptor)


def _ended_by_polling(pid: int, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
