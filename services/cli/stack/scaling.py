"""How many worker processes there shall be, by what waits and what is idle. Decisions are plain functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

GROW_AFTER_SECONDS = 1.0
"""What may be claimed and has waited so long is waiting for a slot, not for a bell."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is seen at one moment. ready: executions that may be claimed. Slots are those of all workers."""

    ready: int
    oldest_ready_seconds: float
    slots: int
    free_slots: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """least, most: processes. idle_seconds: how long one must have been too many before it goes."""

    least: int
    most: int
    slots: int  # of one process
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class Decision:
    processes: int
    reason: str  # for the log; empty when nothing changes


def decide(processes: int, load: Load, bounds: Bounds, idle_for: float) -> Decision:
    """idle_for: seconds since when one process fewer would have done.

    Grows at once, to as many as there is work for but at most twofold: what is started needs a moment to
    count. Shrinks by one at a time.
    """
    if load.ready and load.oldest_ready_seconds >= GROW_AFTER_SECONDS and not load.free_slots:
        wanted = processes + math.ceil(load.ready / bounds.slots)
        target = min(bounds.most, 2 * max(processes, 1), wanted)
        if target > processes:
            waited = f"the oldest of {load.ready:,} that wait has waited {load.oldest_ready_seconds:.1f} s"
            return Decision(target, waited)
    elif processes > bounds.least and is_one_too_many(load, bounds) and idle_for >= bounds.idle_seconds:
        reason = f"{load.free_slots} of {load.slots} slots free for {idle_for:.0f} s, nothing waits"
        return Decision(processes - 1, reason)
    return Decision(min(max(processes, bounds.least), bounds.most), "")


def is_one_too_many(load: Load, bounds: Bounds) -> bool:
    """Whether one process fewer would leave nothing waiting: a whole process's slots are free."""
    return not load.ready and load.free_slots >= bounds.slots
