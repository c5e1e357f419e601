"""How tables look."""

from __future__ import annotations

from rich.table import Table

NUMERIC = frozenset(
    "TOOK TRIES VALUE THRESHOLD VERSION PENDING OLDEST UP FREE RUNS TAKEN WAITING PROCESS".split()
)


def table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(
            column, justify="right" if column in NUMERIC else "left", no_wrap=column != "", overflow="fold"
        )
    return made
