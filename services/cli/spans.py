"""Spans of time as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from services.cli.errors import BadUse

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_span_ms(text: str, option: str) -> int:
    """Milliseconds of `500ms`, `30s`, `1.5m`, `2h` or `1d`; a bare number is milliseconds. Raises BadUse."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", text.strip())
    if not match:
        raise BadUse(f"{option} must be a span such as 500ms, 30s, 5m or 2h, not {text!r}")
    return round(float(match[1]) * UNITS_MS[match[2] or "ms"])


def format_ms(milliseconds: float) -> str:
    """`0.4 ms`, `12 ms`, `1.25 s`, `3 m 05 s`, `2 h 10 m`."""
    if milliseconds < 1:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.2f} s"
    seconds = round(milliseconds / 1000)
    if seconds < 3600:
        return f"{seconds // 60} m {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} m"


def milliseconds_between(start: datetime, end: datetime) -> float:
    return (end - start) / timedelta(milliseconds=1)


def parse_instant(text: str, option: str, now: datetime) -> datetime:
    """An ISO 8601 instant, or a span before `now` such as `2h`. Raises BadUse."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        if not re.match(r"\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$", text):
            raise BadUse(
                f"{option} must be an instant such as 2030-01-31T12:00:00Z or a span, not {text!r}"
            ) from None
        return now - timedelta(milliseconds=parse_span_ms(text, option))
    return instant if instant.tzinfo else instant.astimezone()
