"""What a start does while other executions of its workflow are live: the definition's `onConflict`.

Decided inside the start's own transaction, one start of a workflow after another: of two that come at
once the second sees the first. A start that is told to `cancel_existing` does not wait for their end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from flow_engine.errors import WorkflowRunning
from flow_engine.ids import ExecutionId
from services.executor.persistence.contract import NewExecution
from services.executor.persistence.control import cancel
from services.executor.persistence.tables import workflow_executions
from services.executor.persistence.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Verdict:
    existing: ExecutionId | None = None  # the answer, instead of a new execution
    replaced: tuple[ExecutionId, ...] = ()  # told to cancel


async def verdict(transaction: Transaction, new: NewExecution) -> Verdict:
    """What becomes of a start with a policy. Others of its workflow wait until this transaction is over.

    Raises WorkflowRunning.
    """
    workflow_id = new.created.workflow_id
    if not workflow_id:
        return Verdict()
    await transaction.serialize(f"workflow {new.namespace} {workflow_id}")
    live = await _live(transaction, new.namespace, workflow_id)
    if not live:
        return Verdict()
    match new.on_conflict:
        case "use_existing":
            return Verdict(existing=live[0])
        case "cancel_existing":
            drafts = (await transaction.lock(sorted(live))).values()
            for draft in drafts:
                cancel(draft, f"replaced by {new.id}")
            await transaction.write(drafts)
            return Verdict(replaced=tuple(draft.row.id for draft in drafts if draft.changed))
    raise WorkflowRunning(workflow_id, live[0])


async def _live(transaction: Transaction, namespace: str, workflow_id: str) -> Sequence[ExecutionId]:
    """Newest first."""
    columns = workflow_executions.c
    statement = (
        select(columns.id)
        .where(
            columns.namespace == namespace,
            columns.workflow_id == workflow_id,
            columns.completed_at.is_(None),
        )
        .order_by(columns.created_at.desc(), columns.id.desc())
    )
    return [ExecutionId(row.id) for row in await transaction.fetch(statement)]
