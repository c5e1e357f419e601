"""Budgets of one evaluation, and the frame that carries what is left of them.

A step is at most a twentieth of a microsecond of work. Steps are charged where work can repeat: per iteration
of a macro (as many as its body has parts) and, before the work is done, by size in every function that
touches whole strings, lists or maps. What runs once is bounded by the length of the source. So an evaluation
is bounded in time and memory, deterministically, and an expression without loops pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flow_engine.expressions.errors import LimitExceeded

MAX_SOURCE_LENGTH = 4096
MAX_NESTING = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """max_steps: work of one evaluation (or of one whole template); max_output_bytes: JSON text of its
    result; max_depth: nesting of lists and maps in its result."""

    max_steps: int = 1_000_000
    max_output_bytes: int = 1 << 20
    max_depth: int = 64


DEFAULT_LIMITS = Limits()

# A frame is a plain list because reading list[int] is the cheapest thing a closure can do:
# the scope, the steps left, the output bytes left, the depth allowed, then one slot per variable bound by a
# macro.
Frame = list[Any]
Run = Callable[[Frame], Any]

SCOPE, STEPS, BYTES, DEPTH, FIRST_SLOT = range(5)


def new_frame(scope: Any, limits: Limits, slots: int) -> Frame:
    return [scope, limits.max_steps, limits.max_output_bytes, limits.max_depth, *([None] * slots)]


def charge(frame: Frame, steps: int) -> None:
    """Take steps from the budget before doing the work they stand for. Raises LimitExceeded."""
    frame[STEPS] -= steps
    if frame[STEPS] < 0:
        raise LimitExceeded("the expression takes too many steps")
