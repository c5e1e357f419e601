"""Which executions are meant: the options that listing and steering share."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import typer

from services.cli.commands.options import duration
from services.cli.commands.running import Mode
from services.cli.spans import parse_instant, parse_span_ms


class Status(Enum):
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


StatusOption = Annotated[list[Status] | None, typer.Option("--status", "-s", help="May be repeated.")]
WorkflowOption = Annotated[str, typer.Option("--workflow", "-w", metavar="ID", help="Of this workflow.")]
ModeOption = Annotated[Mode | None, typer.Option("--mode", "-m", help="immediate or queued.")]
TagOption = Annotated[list[str] | None, typer.Option(help="Having all of these; may be repeated.")]
SinceOption = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Created after: an instant, or a span ago such as 2h.")
]
UntilOption = Annotated[str | None, typer.Option(metavar="WHEN", help="Created before.")]
LongerOption = Annotated[
    str | None, typer.Option(metavar="SPAN", help="Ended, and ran for at least so long, such as 5s.")
]
ShorterOption = Annotated[
    str | None, typer.Option(metavar="SPAN", help="Ended, and ran for at most so long.")
]
ErrorOption = Annotated[str, typer.Option("--error", metavar="CODE", help="Failed with this code.")]
ErrorTextOption = Annotated[
    str, typer.Option("--error-text", metavar="TEXT", help="Failed with a message that holds this text.")
]


ParentOption = Annotated[str, typer.Option("--parent", metavar="EXECUTION", help="Children of this one.")]


def conditions(
    workflow: str,
    status: list[Status] | None,
    mode: Mode | None,
    tag: list[str] | None,
    since: str | None,
    until: str | None,
    longer: str | None = None,
    shorter: str | None = None,
    error: str = "",
    error_text: str = "",
    parent: str = "",
) -> dict[str, Any]:
    """What was given, as fields of ListExecutionsRequest and ExecutionFilter. Raises BadUse."""
    now = datetime.now(UTC)
    given = {
        "workflow_id": workflow,
        "statuses": [f"EXECUTION_STATUS_{one.name}" for one in status or ()],
        "mode": f"EXECUTION_MODE_{mode.name}" if mode is not None else None,
        "tags": tag,
        "created_after_time": None if since is None else parse_instant(since, "--since", now),
        "created_before_time": None if until is None else parse_instant(until, "--until", now),
        "min_duration": None if longer is None else duration(parse_span_ms(longer, "--longer")),
        "max_duration": None if shorter is None else duration(parse_span_ms(shorter, "--shorter")),
        "error_code": error,
        "error_text": error_text,
        "parent_id": parent,
    }
    return {name: value for name, value in given.items() if value is not None and value not in ("", [], ())}
