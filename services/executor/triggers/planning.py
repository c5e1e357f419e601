"""Which slots of a schedule have come, and what becomes of each. Pure.

A slot is on time for a minute. Older ones were missed: nobody looked, or it was paused. None of them is
forgotten: those that the catch-up policy does not start are recorded as skipped, with the reason.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from services.executor.triggers.cron import slots_after

ON_TIME = timedelta(seconds=60)
LOOK_BACK = timedelta(days=31)
"""Slots before that are not computed one by one: one record tells that they were missed."""
MOST_SLOTS = 1000
"""Decided at once; the next turn goes on."""
MOST_CATCH_UP = 1000


@dataclass(frozen=True, slots=True)
class Timing:
    """What decides about slots."""

    schedule_id: str
    cron: str
    time_zone: str
    catch_up: int  # of the missed ones, so many of the newest are started
    jitter_seconds: int
    paused: bool


@dataclass(frozen=True, slots=True)
class Slot:
    at: datetime
    fire_at: datetime
    skipped: str = ""  # why it is not started


@dataclass(frozen=True, slots=True)
class Plan:
    slots: Sequence[Slot]
    decided_until: datetime
    next_at: datetime | None  # of the first slot after that; None: there is none


def plan(timing: Timing, decided_until: datetime, now: datetime) -> Plan:
    """Decide about what came after `decided_until`, up to now; at most MOST_SLOTS of it."""
    decided: list[Slot] = []
    horizon = now - LOOK_BACK
    if decided_until < horizon:
        first = next(slots_after(timing.cron, timing.time_zone, decided_until), None)
        if first is not None and first <= horizon:
            reason = f"missed, like all up to {horizon.isoformat()}: nobody looked for more than 31 days"
            decided.append(Slot(first, first, reason))
        decided_until = horizon
    caught_up = _caught_up(timing, decided_until, now)
    following = slots_after(timing.cron, timing.time_zone, decided_until)
    came: list[datetime] = []
    next_at = None
    for slot in islice(following, MOST_SLOTS + 1):
        if slot > now or len(came) == MOST_SLOTS:
            next_at = slot
            break
        came.append(slot)
    decided += [_decided(timing, slot, now, caught_up) for slot in came]
    whole = next_at is None or next_at > now
    return Plan(decided, now if whole else came[-1], next_at)


def _caught_up(timing: Timing, after: datetime, now: datetime) -> frozenset[datetime]:
    """The missed slots that are started all the same."""
    if not timing.catch_up or timing.paused:
        return frozenset()
    # Back from now, further each time, until there are enough: a schedule of minutes has many slots a month.
    span = timedelta(hours=1)
    while True:
        since = max(after, now - span)
        missed: deque[datetime] = deque(maxlen=timing.catch_up)
        for slot in slots_after(timing.cron, timing.time_zone, since):
            if slot >= now - ON_TIME:
                break
            missed.append(slot)
        if since == after or len(missed) == timing.catch_up:
            return frozenset(missed)
        span *= 4


def _decided(timing: Timing, slot: datetime, now: datetime, caught_up: frozenset[datetime]) -> Slot:
    fire_at = slot + jitter(timing, slot)
    if timing.paused:
        return Slot(slot, fire_at, "the schedule is paused")
    if slot >= now - ON_TIME or slot in caught_up:
        return Slot(slot, fire_at)
    return Slot(slot, fire_at, "missed: nobody looked at the time, and the catch-up policy leaves it out")


def jitter(timing: Timing, slot: datetime) -> timedelta:
    """The same for the same slot, whoever asks, and spread evenly."""
    if not timing.jitter_seconds:
        return timedelta()
    digest = hashlib.sha256(f"{timing.schedule_id} {slot.isoformat()}".encode()).digest()
    return timedelta(milliseconds=int.from_bytes(digest[:6], "big") % (1000 * timing.jitter_seconds))
