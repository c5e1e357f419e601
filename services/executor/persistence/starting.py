"""How an execution begins: its row and first events, drafted before anything is written. PROTOCOL 1."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from flow_engine import payload
from flow_engine.interpreter.events import Event, encode_events
from flow_engine.interpreter.journal import Entry
from services.executor.persistence.admission import Admittance
from services.executor.persistence.contract import ImmediateRun, NewExecution, Report
from services.executor.persistence.moves import Draft
from services.executor.persistence.relatives import step_text
from services.executor.persistence.reports import accept
from services.executor.persistence.row import Row


def begin(
    new: NewExecution,
    run: ImmediateRun | None,
    now: datetime,
    lease: timedelta,
    admittance: Admittance | None = None,
) -> tuple[Draft, dict[str, Any]]:
    """The draft, and the columns that never change.

    admittance: of a start whose limits were looked at; without one it joins its line, if it has keys. Who is
    not admitted does not run at once.
    A run whose first commit was deferred began when its runner says so, not when it is committed.
    """
    began = min(new.created.time, now) if run and run.first else now
    own = began + timedelta(milliseconds=new.timeout_ms) if new.timeout_ms is not None else None
    deadline = min(filter(None, (own, new.deadline_at)), default=None)
    draft = Draft(_row(new, began, deadline), now)
    _record_beginning(draft, new, began, deadline)
    if not new.input.inline:
        draft.payloads.append((new.input.ref.hash, new.input.text))
    if admittance is not None and admittance.admitted:
        draft.admit()
    if admittance is not None and not admittance.admitted:
        draft.promote(admittance.reason)
        run = None
    if run is None:
        draft.settle()
    else:
        draft.set(
            status="running", epoch=1, lease_owner=run.owner, lease_expires_at=now + lease, started_at=began
        )
        draft.set(seen_sequence=draft.row.last_sequence)
        if run.first is not None:
            accept(draft, first_report(new, run.first, run.owner))
    return draft, _fixed(new)


def first_report(new: NewExecution, entry: Entry, owner: str) -> Report:
    """Report 1, committed together with the start."""
    return Report(
        execution_id=new.id,
        epoch=1,
        owner=owner,
        report_no=1,
        seen_sequence=events_at_start(new),
        events_json=encode_events(entry.events),
        event_count=len(entry.events),
        payloads=[(value.ref.hash, value.text) for value in entry.payloads],
        entry=entry,
    )


def events_at_start(new: NewExecution) -> int:
    return 1 if new.forked is None else 2


def _record_beginning(draft: Draft, new: NewExecution, began: datetime, deadline: datetime | None) -> None:
    # Not `record`: these are as old as the execution, which may be older than this transaction.
    events: list[Event] = [msgspec.structs.replace(new.created, time=began, deadline_at=deadline)]
    if new.forked is not None:
        events.append(msgspec.structs.replace(new.forked, time=began))
        draft.set(finished_steps=len(new.forked.kept))
    draft.append(encode_events(events), len(events), 0, began)
    draft.set(foreign_sequence=len(events))


def _row(new: NewExecution, began: datetime, deadline: datetime | None) -> Row:
    return Row(
        id=new.id,
        namespace=new.namespace,
        definition_hash=new.definition_hash,
        priority=new.created.priority,
        deadline_at=deadline,
        parent_id=new.parent_id,
        parent_step=parent_step(new),
        parent_waits=new.parent_waits,
        created_at=began,
        concurrency_key=new.slot.key if new.slot else "",
        keeps_slot=new.slot is not None and new.slot.keeps_slot,
        rate_key=new.rate.key if new.rate else "",
        status="pending",
        execution_mode=new.created.mode,
        pending_control=None,
        control_reason="",
        started_at=None,
        completed_at=None,
        duration_class=None,
        result=None,
        error=None,
        last_sequence=0,
        foreign_sequence=0,
        seen_sequence=0,
        last_event_at=began,
        finished_steps=0,
        epoch=0,
        report_no=0,
        report_hash="",
        report_first_sequence=0,
        lease_owner="",
        lease_expires_at=None,
        claim_id="",
        lost_leases=0,
        quarantined=False,
        pending_since=None,
        queue_order=began,
        wake_at=None,
        wake_timer="",
        waits=None,
        all_waiting=False,
        has_children=False,
        has_tasks=False,
        slot_key="",
        slot_wanted="",
        rate_wanted="",
        rated_at=None,
    )


def parent_step(new: NewExecution) -> str:
    parent = new.created.parent
    return step_text(parent.node_id, parent.iteration) if parent else ""


def _fixed(new: NewExecution) -> dict[str, Any]:
    created = new.created
    return {
        "workflow_id": created.workflow_id,
        "workflow_name": created.workflow_name,
        "workflow_version": new.workflow_version,
        "input_hash": new.input.ref.hash,
        "requested_mode": created.requested_mode,
        "tags": payload.encode(created.tags).decode(),
        "metadata": payload.encode({"complexity": msgspec.Raw(new.complexity or b"null")}).decode(),
        "root_id": created.root_id or new.id,
        "retry_of": new.retry_of,
        "needs": payload.encode(new.needs).decode() if new.needs else "",
        "concurrency_limit": new.slot.limit if new.slot else 0,
        "rate_limit": new.rate.limit if new.rate else 0,
        "rate_period_ms": new.rate.period_ms if new.rate else 0,
        "parent_index": new.created.parent.index if new.created.parent else None,
    }
