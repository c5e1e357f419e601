"""What becomes of slots that have come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.executor.triggers.planning import MOST_SLOTS, Plan, Slot, Timing, jitter, plan

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def timing(
    cron: str = "0 * * * *", catch_up: int = 1, jitter_seconds: int = 0, *, paused: bool = False
) -> Timing:
    return Timing("s", cron, "UTC", catch_up, jitter_seconds, paused=paused)


def started(found: Plan) -> list[int]:
    """Hours before noon."""
    return [round((NOON - slot.at) / timedelta(hours=1)) for slot in found.slots if not slot.skipped]


def test_a_slot_that_comes_in_time_is_started_whatever_the_policy() -> None:
    found = plan(timing(catch_up=0), NOON - timedelta(minutes=30), NOON + timedelta(seconds=3))
    assert [(slot.at, slot.fire_at, slot.skipped) for slot in found.slots] == [(NOON, NOON, "")]
    assert found.decided_until == NOON + timedelta(seconds=3)
    assert found.next_at == NOON + timedelta(hours=1)


def test_of_missed_slots_the_newest_are_started_as_the_policy_says_and_all_are_recorded() -> None:
    since, now = NOON - timedelta(hours=10), NOON + timedelta(minutes=30)
    for catch_up, expected in ((0, []), (1, [0]), (3, [2, 1, 0]), (99, list(range(9, -1, -1)))):
        found = plan(timing(catch_up=catch_up), since, now)
        assert started(found) == expected
        assert len(found.slots) == 10
        assert all(slot.skipped.startswith("missed") for slot in found.slots if slot.skipped)


def test_while_paused_slots_are_recorded_as_skipped() -> None:
    found = plan(timing(paused=True), NOON - timedelta(minutes=30), NOON)
    assert [slot.skipped for slot in found.slots] == ["the schedule is paused"]


def test_many_missed_slots_are_decided_by_turns_and_come_to_the_same() -> None:
    since, turns = NOON - timedelta(days=3), 0
    seen: list[Slot] = []
    every = timing("* * * * *", catch_up=5)
    now, decided = NOON + timedelta(seconds=30), since
    while True:
        found = plan(every, decided, now)
        assert len(found.slots) <= MOST_SLOTS
        seen += found.slots
        decided, turns = found.decided_until, turns + 1
        assert found.next_at is not None
        if found.next_at > now:
            break
    assert turns == 5
    assert [slot.at for slot in seen] == [since + timedelta(minutes=n) for n in range(1, 3 * 1440 + 1)]
    assert [slot.at for slot in seen if not slot.skipped] == [
        NOON - timedelta(minutes=n) for n in range(5, -1, -1)
    ]


def test_what_is_older_than_a_month_is_told_by_one_record() -> None:
    found = plan(timing("0 0 * * *", catch_up=0), NOON - timedelta(days=400), NOON)
    assert len(found.slots) == 1 + 31
    assert "31 days" in found.slots[0].skipped
    assert found.slots[0].at == NOON.replace(hour=0) - timedelta(days=399)


def test_jitter_is_the_same_for_the_same_slot_and_spread() -> None:
    spread = timing(jitter_seconds=60)
    found = [jitter(spread, NOON + timedelta(hours=n)) for n in range(200)]
    assert found == [jitter(spread, NOON + timedelta(hours=n)) for n in range(200)]
    assert timedelta() <= min(found) < timedelta(seconds=10)
    assert timedelta(seconds=50) < max(found) < timedelta(seconds=60)
