"""Executions that wait for a person cost no memory, and all go on when they are answered."""

from __future__ import annotations

from benchmarks.waiting import round_of
from tests.e2e.conftest import MakeStack


def test_many_wait_for_next_to_nothing_and_all_go_on(make_stack: MakeStack) -> None:
    """`python -m benchmarks.waiting` measures 10,000 of them."""
    stack = make_stack().start()
    round_of(stack, 300)  # fills caches and pools

    growth = round_of(stack, 300)

    print(f"executor {growth.executor_bytes:.0f}, worker {growth.worker_bytes:.0f} bytes an execution")
    assert growth.completed == 300
    # Coarse, since allocators take memory in pieces: a history kept for each would be far beyond it.
    assert max(growth.executor_bytes, growth.worker_bytes) < 16 * 1024
