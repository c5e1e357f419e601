"""The instants that cron expressions name, above all where clocks are changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest

from services.executor.triggers.cron import cron_problems, slots_after

ZONES = {  # each with a day or two before a change of its clock
    "Europe/Berlin": ("2026-03-28", "2026-10-24"),
    "America/New_York": ("2026-03-07", "2026-10-31"),
    "Australia/Lord_Howe": ("2026-04-04", "2026-10-03"),  # by half an hour
    "America/Santiago": ("2026-04-04", "2026-09-05"),  # at midnight
    "Asia/Kathmandu": ("2026-01-01",),  # never, and 45 minutes off
    "Africa/Casablanca": ("2026-02-14", "2026-03-21"),  # for the month of Ramadan
    "UTC": ("2026-03-28",),
}
CHANGES = [(zone, day) for zone, days in ZONES.items() for day in days]


def slots(expression: str, zone: str, day: str, days: int = 3) -> list[datetime]:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return list(
        takewhile(lambda slot: slot <= start + timedelta(days=days), slots_after(expression, zone, start))
    )


def real_minutes(zone: str, day: str, matches: Callable[[datetime], bool], days: int = 3) -> list[datetime]:
    """Every minute that passes, and whose local time is as asked."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    minutes = (start + timedelta(minutes=n) for n in range(1, days * 1440 + 1))
    return [minute for minute in minutes if matches(minute.astimezone(ZoneInfo(zone)))]


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("* * * * *", lambda local: True),
        ("*/15 * * * *", lambda local: local.minute % 15 == 0),
        ("30 * * * *", lambda local: local.minute == 30),
        ("*/20 2 * * *", lambda local: local.hour == 2 and local.minute % 20 == 0),
        ("7 */6 * * *", lambda local: local.hour % 6 == 0 and local.minute == 7),
    ],
)
def test_expressions_with_a_star_follow_the_clock_minute_by_minute(
    zone: str, day: str, expression: str, matches: Callable[[datetime], bool]
) -> None:
    assert slots(expression, zone, day) == real_minutes(zone, day, matches)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("hour", range(5))
@pytest.mark.parametrize("minute", [0, 15, 30])
def test_a_fixed_time_comes_once_a_day_whatever_the_clock_does(
    zone: str, day: str, hour: int, minute: int
) -> None:
    found = slots(f"{minute} {hour} * * *", zone, day)
    days = [slot.astimezone(ZoneInfo(zone)).date() for slot in found]
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    first, last = start.astimezone(ZoneInfo(zone)), (start + timedelta(days=3)).astimezone(ZoneInfo(zone))
    whole = {first.date() + timedelta(days=n) for n in range(1, (last.date() - first.date()).days)}
    assert len(days) == len(set(days))
    assert whole <= set(days)
    for slot in found:
        local = slot.astimezone(ZoneInfo(zone))
        asked = local.replace(hour=hour, minute=minute, fold=0)
        in_gap = asked.astimezone(UTC).astimezone(ZoneInfo(zone)) != asked
        assert in_gap or (local.hour, local.minute) == (hour, minute)


def test_times_left_out_come_after_the_gap_and_those_moved_together_once() -> None:
    at = [slot.isoformat() for slot in slots("0,30 2,3 * * *", "Europe/Berlin", "2026-03-29", days=1)]
    # 2:00 and 2:30 do not exist that night; both would come at 3:00, which comes anyway.
    assert at == ["2026-03-29T01:00:00+00:00", "2026-03-29T01:30:00+00:00", "2026-03-30T00:00:00+00:00"]


def test_times_that_come_twice_are_taken_the_first_time() -> None:
    before = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)  # 2:45, the first time
    assert next(slots_after("50 2 * * *", "Europe/Berlin", before)).isoformat() == "2026-10-25T00:50:00+00:00"
    between = datetime(2026, 10, 25, 1, 45, tzinfo=UTC)  # 2:45, the second time
    found = next(slots_after("50 2 * * *", "Europe/Berlin", between))
    assert found.isoformat() == "2026-10-26T01:50:00+00:00"


@pytest.mark.parametrize(
    ("expression", "zone", "paths"),
    [
        ("0 6 * * MON-FRI", "Europe/Berlin", []),
        ("0 6 L * *", "UTC", []),
        ("0 6 * *", "UTC", ["/cron"]),
        ("0 0 6 * * *", "UTC", ["/cron"]),
        ("99 6 * * *", "UTC", ["/cron"]),
        ("0 0 31 2 *", "UTC", ["/cron"]),
        ("", "Mars/Olympus", ["/timeZone", "/cron"]),
        ("* * * * *", "../../etc/passwd", ["/timeZone"]),
    ],
)
def test_what_is_wrong_is_named(expression: str, zone: str, paths: list[str]) -> None:
    assert [problem.path for problem in cron_problems(expression, zone)] == paths
