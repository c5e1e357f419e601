"""Timestamps and durations: CEL's accessors, and formatting, parsing and calendar steps.

There is no current time here: the same evaluation gives the same value whenever it is repeated. The scope of
an execution has `execution.startedAt`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from flow_engine.expressions.errors import EvaluationError
from flow_engine.expressions.functions.registry import function
from flow_engine.expressions.instants import (
    MILLISECOND,
    SECOND,
    Duration,
    Timestamp,
    instant,
    local,
    timestamp,
    zone,
)
from flow_engine.expressions.limits import Frame, charge

GROUP = "Dates and times"

_MOMENT = "timestamp('2026-03-01T13:04:05.678Z')"


def _accessor(name: str, doc: str, value: str, read: Callable[[datetime], int]) -> None:
    """Enter a part of the calendar, in UTC or in a named time zone."""

    def part(frame: Frame, moment: Timestamp, where: str = "UTC") -> int:
        charge(frame, 30)
        return read(local(moment, zone(where)))

    function(
        GROUP,
        f"timestamp.{name}() -> int",
        f"timestamp.{name}(string) -> int",
        doc=doc,
        examples=[(f"{_MOMENT}.{name}()", value)],
    )(part)


_accessor("getFullYear", "The year, in UTC or in a time zone.", "2026", lambda moment: moment.year)
_accessor("getMonth", "The month, from 0.", "2", lambda moment: moment.month - 1)
_accessor("getDate", "The day of the month, from 1.", "1", lambda moment: moment.day)
_accessor("getDayOfMonth", "The day of the month, from 0.", "0", lambda moment: moment.day - 1)
_accessor(
    "getDayOfWeek", "The day of the week, from 0 for Sunday.", "0", lambda moment: moment.isoweekday() % 7
)
_accessor("getDayOfYear", "The day of the year, from 0.", "59", lambda moment: moment.timetuple().tm_yday - 1)


def _clock(name: str, doc: str, value: str, in_all: str, read: Callable[[datetime], int], unit: int) -> None:
    """Enter a part of the clock, which durations have too: there it counts the whole duration."""

    def part(frame: Frame, moment: Timestamp | Duration, where: str = "UTC") -> int:
        charge(frame, 30)
        if type(moment) is Timestamp:
            return read(local(moment, zone(where)))
        whole = abs(moment.nanoseconds) // unit
        return -whole if moment.nanoseconds < 0 else whole

    function(
        GROUP,
        f"timestamp.{name}() -> int",
        f"timestamp.{name}(string) -> int",
        f"duration.{name}() -> int",
        doc=doc,
        examples=[(f"{_MOMENT}.{name}()", value), (f"duration('3h5m').{name}()", in_all)],
    )(part)


_clock(
    "getHours",
    "The hour; of a duration, all its hours.",
    "13",
    "3",
    lambda moment: moment.hour,
    3600 * SECOND,
)
_clock("getMinutes", "The minute; of a duration, all.", "4", "185", lambda moment: moment.minute, 60 * SECOND)
_clock("getSeconds", "The second; of a duration, all.", "5", "11100", lambda moment: moment.second, SECOND)


@function(
    GROUP,
    "timestamp.getMilliseconds() -> int",
    "timestamp.getMilliseconds(string) -> int",
    "duration.getMilliseconds() -> int",
    doc="The thousandths of the second.",
    examples=[(f"{_MOMENT}.getMilliseconds()", "678"), ("duration('1500ms').getMilliseconds()", "500")],
)
def milliseconds(frame: Frame, value: Timestamp | Duration, where: str = "UTC") -> int:
    zone(where)
    if type(value) is Timestamp:
        return value.nanoseconds % SECOND // MILLISECOND
    part = abs(value.nanoseconds) % SECOND // MILLISECOND
    return -part if value.nanoseconds < 0 else part


@function(
    GROUP,
    "timestamp.toMillis() -> int",
    "duration.toMillis() -> int",
    doc="Milliseconds since 1970, or of a whole duration.",
    examples=[
        ("timestamp('1970-01-01T00:00:02Z').toMillis()", "2000"),
        ("duration('1.5s').toMillis()", "1500"),
    ],
)
def to_millis(frame: Frame, value: Timestamp | Duration) -> int:
    return value.nanoseconds // MILLISECOND


@function(
    GROUP,
    "time.fromMillis(int) -> timestamp",
    doc="The instant so many milliseconds after 1970 began.",
    examples=[("time.fromMillis(2000)", '"1970-01-01T00:00:02Z"')],
)
def from_millis(frame: Frame, value: int) -> Timestamp:
    return timestamp(value * MILLISECOND)


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DIRECTIVES: dict[str, Callable[[datetime, int], str]] = {
    "Y": lambda moment, _: f"{moment.year:04d}",
    "m": lambda moment, _: f"{moment.month:02d}",
    "d": lambda moment, _: f"{moment.day:02d}",
    "H": lambda moment, _: f"{moment.hour:02d}",
    "I": lambda moment, _: f"{(moment.hour + 11) % 12 + 1:02d}",
    "M": lambda moment, _: f"{moment.minute:02d}",
    "S": lambda moment, _: f"{moment.second:02d}",
    "f": lambda _, fraction: f"{fraction // 1000:06d}",
    "L": lambda _, fraction: f"{fraction // MILLISECOND:03d}",
    "p": lambda moment, _: "AM" if moment.hour < 12 else "PM",
    "j": lambda moment, _: f"{moment.timetuple().tm_yday:03d}",
    "V": lambda moment, _: f"{moment.isocalendar().week:02d}",
    "G": lambda moment, _: f"{moment.isocalendar().year:04d}",
    "A": lambda moment, _: _DAYS[moment.weekday()],
    "a": lambda moment, _: _DAYS[moment.weekday()][:3],
    "B": lambda moment, _: _MONTHS[moment.month - 1],
    "b": lambda moment, _: _MONTHS[moment.month - 1][:3],
    "z": lambda moment, _: _offset(moment),
    "%": lambda *_: "%",
}
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)


@function(
    GROUP,
    "timestamp.format(string) -> string",
    "timestamp.format(string, string) -> string",
    doc="By a pattern, in UTC or in a time zone: %Y %m %d %H %I %M %S %f (microseconds) %L (milliseconds) %p "
    "%j %G %V (ISO week) %A %a %B %b %z %%. Names are English.",
    examples=[
        (f"{_MOMENT}.format('%d.%m.%Y')", '"01.03.2026"'),
        (f"{_MOMENT}.format('%a %H:%M %z', 'Asia/Tokyo')", '"Sun 22:04 +0900"'),
    ],
)
def format_time(frame: Frame, value: Timestamp, pattern: str, where: str = "UTC") -> str:
    charge(frame, 40 + 10 * len(pattern))
    moment, fraction = local(value, zone(where)), value.nanoseconds % SECOND

    def directive(match: re.Match[str]) -> str:
        if match.group(1) not in _DIRECTIVES:
            raise EvaluationError(f"unknown directive {match.group()!r} in the pattern")
        return _DIRECTIVES[match.group(1)](moment, fraction)

    return _DIRECTIVE.sub(directive, pattern)


_FIELDS = {"Y": (4, 4), "m": (1, 2), "d": (1, 2), "H": (1, 2), "M": (1, 2), "S": (1, 2)}
"""By directive: the fewest and the most digits."""
_ZONE = re.compile(r"Z|[+-]\d\d:?\d\d", re.ASCII)


@function(
    GROUP,
    "time.parse(string, string) -> timestamp",
    "time.parse(string, string, string) -> timestamp",
    doc="The instant a text names by a pattern of %Y %m %d %H %M %S %z, in UTC or in a time zone.",
    examples=[("time.parse('31/01/2026 08:30', '%d/%m/%Y %H:%M', '+01:00')", '"2026-01-31T07:30:00Z"')],
)
def parse_time(frame: Frame, text: str, pattern: str, where: str = "UTC") -> Timestamp:
    charge(frame, 100 + 20 * len(pattern))
    numbers = {"Y": 1970, "m": 1, "d": 1, "H": 0, "M": 0, "S": 0}
    at = end = 0
    for match in _DIRECTIVE.finditer(pattern):
        at = _literal(text, at, pattern[end : match.start()])
        name, end = match.group(1), match.end()
        if name in _FIELDS:
            numbers[name], at = _digits(text, at, *_FIELDS[name])
        elif name == "z" and (found := _ZONE.match(text, at)):
            where, at = found.group(), found.end()
        elif name == "%":
            at = _literal(text, at, "%")
        else:
            raise EvaluationError(
                f"{match.group()!r} is unknown in a pattern, or the text has nothing like it"
            )
    if _literal(text, at, pattern[end:]) != len(text):
        raise EvaluationError("the text goes on after the pattern")
    where = where if where[:1] not in ("+", "-") else f"{where[:3]}:{where[-2:]}"
    try:
        year, month, day, hour, minute, second = numbers.values()
        return instant(datetime(year, month, day, hour, minute, second, tzinfo=zone(where)))
    except ValueError as error:
        raise EvaluationError(f"no such moment: {error}") from None


def _literal(text: str, at: int, expected: str) -> int:
    if not text.startswith(expected, at):
        raise EvaluationError(f"the text does not follow the pattern at character {at + 1}")
    return at + len(expected)


def _digits(text: str, at: int, fewest: int, most: int) -> tuple[int, int]:
    end = at
    while end < at + most and text[end : end + 1] in _DIGITS:
        end += 1
    if end - at < fewest:
        raise EvaluationError(
            f"the text does not follow the pattern at character {at + 1}: a number expected"
        )
    return int(text[at:end]), end


_DIGITS = frozenset("0123456789")


@function(
    GROUP,
    "timestamp.addMonths(int) -> timestamp",
    "timestamp.addMonths(int, string) -> timestamp",
    doc="The same day and time so many months later, or the last day of a shorter month.",
    examples=[("timestamp('2026-01-31T08:00:00Z').addMonths(1)", '"2026-02-28T08:00:00Z"')],
)
def add_months(frame: Frame, value: Timestamp, months: int, where: str = "UTC") -> Timestamp:
    charge(frame, 100)
    moment = local(value, zone(where))
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise EvaluationError("timestamp out of range: years 1 to 9999")
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month]
    moved = moment.replace(year=year, month=month + 1, day=min(moment.day, longest))
    return instant(moved, value.nanoseconds % SECOND)


_CUTS: dict[str, dict[str, int]] = {"second": {}}
_CUTS["minute"] = {"second": 0}
_CUTS["hour"] = {"minute": 0} | _CUTS["minute"]
_CUTS["day"] = {"hour": 0} | _CUTS["hour"]
_CUTS["month"] = {"day": 1} | _CUTS["day"]
_CUTS["year"] = {"month": 1} | _CUTS["month"]


@function(
    GROUP,
    "timestamp.startOf(string) -> timestamp",
    "timestamp.startOf(string, string) -> timestamp",
    doc="The start of its second, minute, hour, day, month or year, in UTC or in a time zone.",
    examples=[(f"{_MOMENT}.startOf('month', '+01:00')", '"2026-02-28T23:00:00Z"')],
)
def start_of(frame: Frame, value: Timestamp, unit: str, where: str = "UTC") -> Timestamp:
    charge(frame, 100)
    if unit not in _CUTS:
        raise EvaluationError(f"startOf needs one of {', '.join(_CUTS)}")
    return instant(local(value, zone(where)).replace(**_CUTS[unit]))  # type: ignore[arg-type]


def _offset(moment: datetime) -> str:
    minutes = (moment.utcoffset() or timedelta()) // timedelta(minutes=1)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
