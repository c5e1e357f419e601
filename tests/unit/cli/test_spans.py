from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.cli.errors import BadUse
from services.cli.spans import format_ms, parse_instant, parse_span_ms

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("500ms", 500), ("30s", 30_000), ("1.5m", 90_000), ("2h", 7_200_000), ("1d", 86_400_000), ("250", 250)],
)
def test_spans_are_read_with_their_units(text: str, milliseconds: int) -> None:
    assert parse_span_ms(text, "--timeout") == milliseconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1 fortnight"])
def test_a_wrong_span_names_its_option(text: str) -> None:
    with pytest.raises(BadUse, match="--timeout"):
        parse_span_ms(text, "--timeout")


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0.42, "0.4 ms"), (12.3, "12 ms"), (1250, "1.25 s"), (185_000, "3 m 05 s"), (7_800_000, "2 h 10 m")],
)
def test_spans_are_written_as_people_say_them(milliseconds: float, text: str) -> None:
    assert format_ms(milliseconds) == text


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2030-01-31T10:00:00Z", datetime(2030, 1, 31, 10, tzinfo=UTC)),
        ("2h", datetime(2030, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_an_instant_may_be_a_span_ago(text: str, instant: datetime) -> None:
    assert parse_instant(text, "--since", NOON) == instant


def test_a_wrong_instant_names_its_option() -> None:
    with pytest.raises(BadUse, match="--since"):
        parse_instant("yesterday", "--since", NOON)
