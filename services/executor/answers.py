"""Which waiting step an answer is for."""

from __future__ import annotations

from collections.abc import Sequence

from flow_engine.errors import AlreadyAnswered, AmbiguousStep, NotWaiting
from flow_engine.ids import Iteration
from flow_engine.interpreter.steps import Step


def answered_step(
    steps: Sequence[Step], node_id: str, iteration: Iteration, answer_hash: str
) -> tuple[Step, bool]:
    """The step, and whether it has this very answer already.

    iteration: empty for a node outside loops, or when only one instance can be meant.
    Raises AmbiguousStep, AlreadyAnswered, NotWaiting.
    """
    meant = [step for step in steps if step.node_id == node_id and iteration in ((), step.iteration)]
    waiting = [step for step in meant if step.awaits_answer]
    if len(waiting) > 1:
        raise AmbiguousStep(node_id, [step.iteration for step in waiting])
    if waiting:
        return waiting[0], False
    answered = [step for step in meant if step.answer_hash]
    for step in answered:
        if step.answer_hash == answer_hash:
            return step, True
    raise AlreadyAnswered(node_id) if answered else NotWaiting(node_id)
