"""How large a definition may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkflowLimits:
    max_bytes: int = 4 << 20  # of the JSON text
    max_depth: int = 64
    max_nodes: int = 10_000
    max_edges: int = 50_000
    max_expressions: int = 50_000
    max_subflow_depth: int = 8  # sub-flows inside one another
    max_problems: int = 1000  # that one answer lists


DEFAULT_LIMITS = WorkflowLimits()
