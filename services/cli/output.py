"""Standard output: JSON for programs, tables for people. Never both."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_json(value: Any) -> None:
    """One JSON document: laid out on a terminal, compact on a pipe. `msgspec.Raw` goes through untouched."""
    import msgspec

    text = msgspec.json.encode(value)
    if sys.stdout.isatty():
        text = msgspec.json.format(text)
    print(text.decode(), flush=True)


def print_json_line(value: Any) -> None:
    """One line of newline-delimited JSON, seen at once by whoever reads the pipe."""
    import msgspec

    print(msgspec.json.encode(value).decode(), flush=True)


def pretty(json_text: str | bytes) -> str:
    """JSON text laid out for people; numbers keep their digits."""
    import msgspec

    return msgspec.json.format(json_text if isinstance(json_text, bytes) else json_text.encode()).decode()


def note(text: str) -> None:
    """A remark for people, beside the output."""
    print(text, file=sys.stderr, flush=True)


def console() -> Console:
    """Where tables go. On a pipe they are as wide as their content, so that nothing is cut."""
    from rich.console import Console

    return Console(
        highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200
    )
