"""Points in time as text and as numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flow_engine.nodes.text_formats import FormatError
from flow_engine.payload import JsonValue

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OUT_OF_YEARS = "the date lies outside the years 1 to 9999"


def parse_date(text: str, pattern: str | None, zone: str) -> datetime:
    """The instant, in UTC.

    Without `pattern` the text is ISO 8601; without an offset of its own it is read in `zone`. Raises
    FormatError.
    """
    try:
        moment = _read(text.strip(), pattern)
    except ValueError as error:
        raise FormatError(f"{text[:50]!r} is no date as it was asked for") from error
    local = moment if moment.tzinfo else moment.replace(tzinfo=_zone(zone))
    return _at(local, UTC)


def _read(text: str, pattern: str | None) -> datetime:
    if pattern is None:
        return datetime.fromisoformat(text)
    return datetime.strptime(text, pattern)  # noqa: DTZ007 - an offset in the text is kept, else a zone follows


def date_fields(moment: datetime, zone: str) -> dict[str, JsonValue]:
    """An instant taken apart, as it is in `zone`."""
    local = _at(moment, _zone(zone))
    return {
        "utc": iso_utc(moment),
        "epochMs": (moment - EPOCH) // timedelta(milliseconds=1),
        "date": local.date().isoformat(),
        "time": local.time().isoformat(),
        "weekday": local.isoweekday(),
        "offset": local.strftime("%z"),
    }


def iso_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def instant_of(value: JsonValue, zone: str) -> datetime:
    """value: ISO 8601 text, read in `zone` if it has no offset, or milliseconds since 1970. Raises
    FormatError.
    """
    match value:
        case str():
            return parse_date(value, None, zone)
        case int() | float() if not isinstance(value, bool):
            return _from_epoch_ms(value)
        case _:
            raise FormatError("a date is a string or a number of milliseconds")


def format_date(moment: datetime, pattern: str | None, zone: str) -> str:
    """An instant as it is written in `zone`; without `pattern` in ISO 8601. Raises FormatError."""
    local = _at(moment, _zone(zone))
    try:
        return local.isoformat() if pattern is None else local.strftime(pattern)
    except ValueError as error:
        raise FormatError(f"{pattern!r} is no pattern of a date") from error


def _from_epoch_ms(milliseconds: float) -> datetime:
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise FormatError(OUT_OF_YEARS) from error


def _at(moment: datetime, zone: tzinfo) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError as error:
        raise FormatError(OUT_OF_YEARS) from error


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise FormatError(f"{name[:50]!r} is no time zone; write Europe/Berlin or UTC") from error
