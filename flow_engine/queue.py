"""The bell between executor and worker: what both must agree on.

A message says only that there is work: the worker answers it by asking the executor,
and the database picks. Losing every message costs seconds, never an execution.
Source: docs/protocol.md, "Who owns a run".
"""

from __future__ import annotations

from typing import Literal, get_args

PriorityClass = Literal["high", "normal", "low"]

Stream = Literal["flow:advance:high", "flow:advance:normal", "flow:advance:low"]
STREAMS: tuple[str, ...] = get_args(Stream)
"""Redis streams, the most urgent first."""

CONSUMER_GROUP = "flow-workers"

TASK_NAME = "advance"
"""taskiq task with the keyword arguments `priority_class` and `execution_id` (a hint; may be empty)."""


def priority_class(priority: int) -> PriorityClass:
    """priority: 0 to 9, lower runs sooner."""
    if priority <= 3:
        return "high"
    return "normal" if priority <= 6 else "low"


def stream_of(priority: int) -> str:
    return f"flow:advance:{priority_class(priority)}"
