"""Timestamps and durations, to the nanosecond, with CEL's ranges and text forms."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from flow_engine.expressions.errors import EvaluationError

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = -62_135_596_800 * SECOND
_LAST: Final = 253_402_300_800 * SECOND - 1
_LONGEST: Final = 2**63


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """An instant, in nanoseconds since 1970-01-01T00:00:00Z, within the years 1 to 9999."""

    nanoseconds: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span, in nanoseconds, within 64 bits (about 292 years)."""

    nanoseconds: int


def timestamp(nanoseconds: int) -> Timestamp:
    if not _FIRST <= nanoseconds <= _LAST:
        raise EvaluationError("timestamp out of range: years 1 to 9999")
    return Timestamp(nanoseconds)


def duration(nanoseconds: int) -> Duration:
    if not -_LONGEST <= nanoseconds < _LONGEST:
        raise EvaluationError("duration out of range: about 292 years")
    return Duration(nanoseconds)


# Text forms

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_DURATION = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|μs|ns))+|[+-]?0", re.ASCII)
_DURATION_PART = re.compile(r"(\d*)\.?(\d*)(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_UNITS: Final = {
    "h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": MILLISECOND,
    "us": 1000, "µs": 1000, "μs": 1000, "ns": 1,
}  # fmt: skip


def parse_timestamp(text: str) -> Timestamp:
    """The instant an RFC 3339 text names. Raises EvaluationError."""
    match = _RFC3339.fullmatch(text) if len(text) < 80 else None
    if match is None:
        raise EvaluationError("no RFC 3339 timestamp such as 2026-01-31T12:00:00Z")
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError as error:
        raise EvaluationError(f"no such moment: {error}") from None
    offset = (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "-" else -1) if sign else 0
    return timestamp((_seconds(moment) + offset) * SECOND + int((fraction or "").ljust(9, "0")))


def timestamp_text(value: Timestamp) -> str:
    """RFC 3339 in UTC with as many digits of a second as it takes."""
    seconds, fraction = divmod(value.nanoseconds, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    return moment.replace(tzinfo=None).isoformat() + _fraction(fraction) + "Z"


def parse_duration(text: str) -> Duration:
    """The span a text such as 1h30m, 3.5s or -250ms names. Raises EvaluationError."""
    if len(text) > 80 or not _DURATION.fullmatch(text):
        raise EvaluationError("no duration such as 1h30m, 3.5s or 250ms")
    total = 0
    for whole, fraction, unit in _DURATION_PART.findall(text):
        total += int(whole or "0") * _UNITS[unit]
        total += int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
    return duration(-total if text[0] == "-" else total)


def duration_text(value: Duration) -> str:
    """Seconds with their fraction: 3.5s."""
    seconds, fraction = divmod(abs(value.nanoseconds), SECOND)
    sign = "-" if value.nanoseconds < 0 else ""
    return f"{sign}{seconds}{_fraction(fraction)}s"


def _fraction(nanoseconds: int) -> str:
    return f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""


def _seconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1)


# Calendar

_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", re.ASCII)


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """The time zone of an IANA name or of an offset such as +02:00. Raises EvaluationError."""
    if match := _OFFSET.fullmatch(name):
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if offset < timedelta(hours=24):
            return timezone(-offset if sign == "-" else offset)
    elif name == "UTC" or name == "Z":
        return UTC
    elif _ZONE_NAME.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            pass
    raise EvaluationError("no such time zone")


def local(value: Timestamp, where: tzinfo = UTC) -> datetime:
    """The wall clock at value, to the second. Raises EvaluationError where it leaves the years 1 to 9999."""
    try:
        return (_EPOCH + timedelta(seconds=value.nanoseconds // SECOND)).astimezone(where)
    except OverflowError:
        raise EvaluationError("timestamp out of range: years 1 to 9999") from None


def instant(moment: datetime, nanoseconds: int = 0) -> Timestamp:
    """The instant of a wall clock with a time zone, plus nanoseconds."""
    try:
        return timestamp(_seconds(moment) * SECOND + nanoseconds)
    except OverflowError:
        raise EvaluationError("timestamp out of range: years 1 to 9999") from None
