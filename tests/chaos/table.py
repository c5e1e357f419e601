"""The bench's one table, and what was wrong below it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.bench import Row, overall

HEADINGS = (
    "fault",
    "database",
    "acknowledged",
    "lost",
    "twice, in doubt",
    "twice, wrongly",
    "zombie writes",
    "streams",
    "gaps",
    "duplicates",
    "unaccounted",
    "other",
    "recovery p50 / p95 / max",
    "verdict",
)
GRAVITY = ("lost", "unaccounted", "zombie", "twice", "gap", "duplicate", "answer", "history")
SHOWN = 10
"""Violations listed for each row; the rest are counted."""


def table(rows: Sequence[Row]) -> str:
    """Aligned columns with a line of sums."""
    lines = [HEADINGS, *map(cells, rows), sums(rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    shown = [_aligned(line, widths) for line in lines]
    rule = "-" * max(map(len, shown))
    return "\n".join([shown[0], rule, *shown[1:-1], rule, shown[-1]])


def cells(row: Row) -> tuple[str, ...]:
    verdict = row.verdict
    return (
        row.fault,
        row.database,
        str(row.acknowledged),
        str(verdict.count("lost")),
        str(verdict.in_doubt),
        str(verdict.count("twice")),
        str(verdict.count("zombie")),
        str(row.streams),
        str(verdict.count("gap")),
        str(verdict.count("duplicate")),
        str(verdict.count("unaccounted")),
        str(verdict.count("history", "answer")),
        " / ".join("-" if span is None else f"{span:.1f}" for span in overall(row.recoveries)),
        "VOID" if row.void else "ok" if row.passed else "VIOLATED",
    )


def sums(rows: Sequence[Row]) -> tuple[str, ...]:
    numbers = [sum(int(cells(row)[column]) for row in rows) for column in range(2, 12)]
    failed = sum(not row.passed for row in rows)
    return (
        f"{len(rows)} rounds",
        "",
        *map(str, numbers),
        " / ".join("-" if span is None else f"{span:.1f}" for span in overall(_all_recoveries(rows))),
        f"{failed} failed" if failed else "ok",
    )


def details(rows: Sequence[Row]) -> str:
    """Remarks, reasons and violations, by round."""
    lines: list[str] = []
    for row in rows:
        violations = sorted(row.verdict.violations, key=lambda violation: GRAVITY.index(violation.kind))
        said = [
            *row.remarks,
            *([f"VOID: {row.void}"] if row.void else []),
            *map(str, violations[:SHOWN]),
            *([f"and {len(violations) - SHOWN} more"] if len(violations) > SHOWN else []),
        ]
        lines += [f"{row.fault}/{row.database}: {what}" for what in said]
    return "\n".join(lines)


def _all_recoveries(rows: Sequence[Row]) -> list[float]:
    return sorted(span for row in rows for span in row.recoveries)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    texts = 2
    parts = [
        cell.ljust(width) if column < texts or column == len(line) - 1 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(parts).rstrip()
