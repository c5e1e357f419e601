"""A row of `workflow_executions` as the moves see it, and the event batches that go with it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple

from flow_engine.ids import ExecutionId


@dataclass(slots=True)
class Row:
    """What deciding a move needs. `result` is only ever written: reading it would be dear."""

    id: ExecutionId
    namespace: str
    definition_hash: str
    priority: int
    deadline_at: datetime | None
    parent_id: str
    parent_step: str
    parent_waits: str
    created_at: datetime
    concurrency_key: str
    keeps_slot: bool
    rate_key: str
    # From here on: what moves change.
    status: str
    execution_mode: str
    pending_control: str | None
    control_reason: str
    started_at: datetime | None
    completed_at: datetime | None
    duration_class: int | None
    result: str | None
    error: str | None
    last_sequence: int
    foreign_sequence: int
    seen_sequence: int
    last_event_at: datetime
    finished_steps: int
    epoch: int
    report_no: int
    report_hash: str
    report_first_sequence: int
    lease_owner: str
    lease_expires_at: datetime | None
    claim_id: str
    lost_leases: int
    quarantined: bool
    pending_since: datetime | None
    queue_order: datetime
    wake_at: datetime | None
    wake_timer: str
    waits: str | None
    all_waiting: bool
    has_children: bool
    has_tasks: bool
    slot_key: str
    slot_wanted: str
    rate_wanted: str
    rated_at: datetime | None

    @property
    def held(self) -> bool:
        """Pending, and waiting for its slot or its rate."""
        return self.slot_wanted != "" or self.rate_wanted != ""


class Line(NamedTuple):
    """Those that wait for the same slot and the same rate; either may be empty. rate None: any."""

    namespace: str
    slot: str
    rate: str | None


class Fence(NamedTuple):
    """What a row must still hold when it is written: the lock says so, the write makes sure."""

    status: str
    epoch: int
    report_no: int
    last_sequence: int


COLUMNS = tuple(field.name for field in fields(Row))
CHANGING = COLUMNS[COLUMNS.index("status") :]


@dataclass(frozen=True, slots=True)
class NewBatch:
    """Events to append: one row of `execution_events`."""

    first_sequence: int
    last_sequence: int
    events: bytes
    epoch: int = 0  # 0: written by an executor, not by the runner
    report_no: int = 0
    report_hash: str = ""
    finished_steps: int = 0  # of the execution, after these events
