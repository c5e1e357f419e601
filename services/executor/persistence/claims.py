"""Leases: taking executions from the queue, keeping them, giving them back. PROTOCOL 2, 5 and 17."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta

from sqlalchemy import Text, bindparam, func, or_, select

from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import ExecutionCancelled, ExecutionClaimed, ExecutionPaused
from flow_engine.interpreter.snapshots import format_of
from services.executor.persistence.contract import Claim, ClaimedExecution, StoredBatch
from services.executor.persistence.database import Database
from services.executor.persistence.moves import Draft
from services.executor.persistence.queueing import Turns, next_in_turn
from services.executor.persistence.reading import stored_batch
from services.executor.persistence.sweep import expire
from services.executor.persistence.tables import execution_events, is_status, snapshots, workflow_executions
from services.executor.persistence.transaction import Transaction

POISON_AFTER = 2
"""Leases lost in a row, without a step outcome, after which an execution runs with nothing beside it."""


class Claims:
    def __init__(self, database: Database, lease: Callable[[str], timedelta]) -> None:
        self._database = database
        self._lease = lease
        self._turns = Turns()

    async def next(self, claim: Claim) -> list[ClaimedExecution]:
        return await self._database.write(lambda transaction: self._claim(transaction, claim))

    async def _claim(self, transaction: Transaction, claim: Claim) -> list[ClaimedExecution]:
        await transaction.serialize(f"claim {claim.claim_id}")
        drafts = await _claimed_before(transaction, claim)
        drafts = drafts or await self._next(transaction, claim)
        return await _with_histories(transaction, drafts, self._lease(claim.worker_id), claim.snapshot_format)

    async def _next(self, transaction: Transaction, claim: Claim) -> list[Draft]:
        """Twice, where another claim was at some of those whose turn it was."""
        taken: list[Draft] = []
        for _ in range(2):
            missing = max(claim.free_slots, 0) - len(taken)
            ids, wanted = await next_in_turn(
                transaction, claim, missing, self._turns, sqlite=self._database.is_sqlite
            )
            found = await _locked(transaction, ids)
            drafts = alone_or_together(sorted(found, key=lambda draft: (draft.row.queue_order, draft.row.id)))
            for draft in drafts:
                take(draft, claim, self._lease(claim.worker_id))
            await transaction.write(drafts)
            taken += drafts
            if len(ids) >= wanted or len(drafts) < len(found) or any(map(is_poison, drafts)):
                break
        return taken

    async def renew(self, owner: str, leases: Collection[tuple[ExecutionId, int]]) -> set[ExecutionId]:
        async def work(transaction: Transaction) -> set[ExecutionId]:
            held = await _held(transaction, owner, leases)
            for draft in held:
                draft.set(lease_expires_at=draft.now + self._lease(owner))
            await transaction.write(held)
            return {execution_id for execution_id, _ in leases} - {draft.row.id for draft in held}

        return await self._database.write(work) if leases else set()

    async def release(
        self, owner: str, leases: Collection[tuple[ExecutionId, int]], *, process_died: bool = False
    ) -> None:
        async def work(transaction: Transaction) -> None:
            held = await _held(transaction, owner, leases)
            for draft in held:
                if process_died:
                    expire(draft, guilty=draft.row.quarantined)
                else:
                    give_back(draft)
            await transaction.write(held)

        if leases:
            await self._database.write(work)


def alone_or_together(drafts: Sequence[Draft]) -> list[Draft]:
    """Of candidates in the order of the queue: the first if it is poison, else those that are not."""
    if drafts and is_poison(drafts[0]):
        return [drafts[0]]
    return [draft for draft in drafts if not is_poison(draft)]


def is_poison(draft: Draft) -> bool:
    return draft.row.lost_leases >= POISON_AFTER


def take(draft: Draft, claim: Claim, lease: timedelta) -> None:
    quarantined = is_poison(draft)
    draft.move("claim", "running")
    draft.set(
        lease_owner=claim.worker_id,
        lease_expires_at=draft.now + lease,
        claim_id=claim.claim_id,
        quarantined=quarantined,
        started_at=draft.row.started_at or draft.now,
    )
    draft.record(ExecutionClaimed(time=draft.now, worker_id=claim.worker_id, epoch=draft.row.epoch))
    # The answer to the claim tells the runner everything.
    draft.set(seen_sequence=draft.row.last_sequence)


def give_back(draft: Draft) -> None:
    """Unworked: to its old place in the queue, or to where control wants it."""
    place, control, reason = draft.row.queue_order, draft.row.pending_control, draft.row.control_reason
    if control != "cancel":
        draft.promote("shutdown")
    match control:
        case "cancel":
            draft.record(ExecutionCancelled(time=draft.now, reason=reason))
            draft.move("release", "cancelled")
        case "pause":
            draft.record(ExecutionPaused(time=draft.now))
            draft.move("release", "paused")
        case _:
            draft.move("release", "pending")
            draft.set(queue_order=place)


_e, _events = workflow_executions.c, execution_events.c
_SAME_CLAIM = select(_e.id).where(
    is_status("running"),
    _e.lease_owner == bindparam("owner", type_=Text),
    _e.claim_id == bindparam("claim", type_=Text),
    or_(bindparam("namespace", type_=Text) == "", _e.namespace == bindparam("namespace", type_=Text)),
)
_SNAPSHOTS = select(snapshots.c.execution_id, snapshots.c.state).where(
    snapshots.c.execution_id.in_(bindparam("ids", expanding=True))
)
_HISTORIES = (
    select(_events.execution_id, _events.first_sequence, _events.last_sequence, _events.events)
    .select_from(execution_events.outerjoin(snapshots, snapshots.c.execution_id == _events.execution_id))
    .where(
        _events.execution_id.in_(bindparam("ids", expanding=True)),
        (_events.first_sequence > func.coalesce(snapshots.c.sequence, 0))
        | _events.execution_id.not_in(bindparam("with_state", expanding=True)),
    )
    .order_by(_events.execution_id, _events.first_sequence)
)


async def _claimed_before(transaction: Transaction, claim: Claim) -> list[Draft]:
    values = {"owner": claim.worker_id, "claim": claim.claim_id, "namespace": claim.namespace}
    return await _locked(transaction, [row.id for row in await transaction.fetch(_SAME_CLAIM, values)])


async def _locked(transaction: Transaction, ids: Sequence[str]) -> list[Draft]:
    return list((await transaction.lock(ids)).values()) if ids else []


async def _held(
    transaction: Transaction, owner: str, leases: Iterable[tuple[ExecutionId, int]]
) -> list[Draft]:
    epochs = dict(leases)
    drafts = await _locked(transaction, sorted(epochs))
    return [
        draft
        for draft in drafts
        if draft.row.status == "running"
        and draft.row.lease_owner == owner
        and draft.row.epoch == epochs[draft.row.id]
    ]


async def _with_histories(
    transaction: Transaction, drafts: Sequence[Draft], lease: timedelta, snapshot_format: int
) -> list[ClaimedExecution]:
    """Each with its newest snapshot, if the worker can read it, and the events after that."""
    if not drafts:
        return []
    # Only who ran it before can have left one.
    older = [draft.row.id for draft in drafts if draft.row.epoch > 1]
    states = {
        row.execution_id: row.state
        for row in (await transaction.fetch(_SNAPSHOTS, {"ids": older}) if older else ())
        if snapshot_format and format_of(row.state) == snapshot_format
    }
    values = {"ids": [draft.row.id for draft in drafts], "with_state": list(states)}
    batches: dict[str, list[StoredBatch]] = {}
    for row in await transaction.fetch(_HISTORIES, values):
        batches.setdefault(row.execution_id, []).append(stored_batch(row))
    return [
        ClaimedExecution(
            execution_id=draft.row.id,
            epoch=draft.row.epoch,
            definition_hash=draft.row.definition_hash,
            snapshot=states.get(draft.row.id, b""),
            batches=batches[draft.row.id],
            last_sequence=draft.row.last_sequence,
            database_time=draft.now,
            deadline_at=draft.row.deadline_at,
            lease_seconds=lease.total_seconds(),
            quarantined=draft.row.quarantined,
        )
        for draft in drafts
    ]
