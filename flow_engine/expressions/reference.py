"""Prints the tables of functions in docs/expressions.md from the registry.

python -m flow_engine.expressions.reference docs/expressions.md    writes them into the page, between its
markers
"""

from __future__ import annotations

import sys
from pathlib import Path

from flow_engine.expressions.compiler import compile_source  # noqa: F401 - the compiler enters what it implements
from flow_engine.expressions.functions.registry import ENTRIES, Entry

BEGIN, END = "<!-- functions: begin -->", "<!-- functions: end -->"


def function_tables() -> str:
    """A heading and a table for each group, in order of registration; Markdown."""
    groups: dict[str, list[Entry]] = {}
    for entry in ENTRIES:
        groups.setdefault(entry.group, []).append(entry)
    return "\n".join(_table(group, entries) for group, entries in groups.items())


def _table(group: str, entries: list[Entry]) -> str:
    rows = "\n".join(_row(entry) for entry in entries)
    return f"### {group}\n\n| function | what it gives | example | value |\n|---|---|---|---|\n{rows}\n"


def _row(entry: Entry) -> str:
    cells = (
        "<br>".join(map(_code, entry.signatures)),
        entry.doc.replace("|", "\\|"),
        "<br>".join(_code(example) for example, _ in entry.examples),
        "<br>".join(_code(value) for _, value in entry.examples),
    )
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def with_tables(page: str) -> str:
    """page with the tables between its markers. Raises ValueError without them."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{function_tables()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
