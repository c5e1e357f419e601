"""How many workers there shall be."""

from __future__ import annotations

import pytest

from services.cli.stack.scaling import Bounds, Load, decide

BOUNDS = Bounds(least=1, most=8, slots=4, idle_seconds=30)


@pytest.mark.parametrize(
    ("processes", "load", "idle_for", "target"),
    [
        (1, Load(0, 0.0, 4, 2), 0, 1),
        (1, Load(2, 5.0, 4, 0), 0, 2),
        (1, Load(100, 5.0, 4, 0), 0, 2),
        (2, Load(100, 5.0, 8, 0), 0, 4),
        (4, Load(100, 5.0, 16, 0), 0, 8),
        (8, Load(100, 5.0, 32, 0), 0, 8),
        (3, Load(4, 5.0, 12, 0), 0, 4),
        (2, Load(100, 0.5, 8, 0), 0, 2),
        (2, Load(100, 5.0, 8, 1), 0, 2),
        (2, Load(0, 0.0, 8, 8), 29, 2),
        (2, Load(0, 0.0, 8, 4), 30, 1),
        (2, Load(0, 0.0, 8, 3), 99, 2),
        (1, Load(0, 0.0, 4, 4), 99, 1),
    ],
    ids=[
        "enough",
        "one more is enough",
        "not more than twofold",
        "twofold again",
        "and again",
        "never above the most",
        "as many as there is work for",
        "it has not waited yet",
        "a slot is free: it waits for a bell",
        "not idle for long enough",
        "one fewer will do",
        "one fewer would not do",
        "never below the least",
    ],
)
def test_the_number_of_processes(processes: int, load: Load, idle_for: float, target: int) -> None:
    decision = decide(processes, load, BOUNDS, idle_for)
    assert decision.processes == target
    assert bool(decision.reason) is (target != processes)
