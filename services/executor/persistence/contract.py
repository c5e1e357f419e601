"""What the executor asks of a database. docs/protocol.md states the rules by number.

Every state change is one conditional write: it happens whole, once, or not at all, whatever
dies in between and however often it is asked. Leases, wake-ups and deadlines go by the
database's clock. Implementations raise `Unavailable` when the database does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Protocol

from msgspec import Struct

from flow_engine.ids import DEFAULT_NAMESPACE, ExecutionId, Iteration
from flow_engine.interpreter.events import ExecutionCreated, ExecutionForked
from flow_engine.interpreter.journal import Entry
from flow_engine.payload import JsonValue, Payload

LIVE = ("pending", "running", "paused", "waiting")
TERMINAL = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class SlotPolicy:
    """At most `limit` executions of a namespace with the same key hold a slot."""

    key: str
    limit: int
    on_limit: str = "queue"  # reject, cancel_oldest
    keeps_slot: bool = False  # over waits, until its end


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """At most `limit` executions of a namespace with the same key begin within any period."""

    key: str
    limit: int
    period_ms: int
    on_limit: str = "queue"  # reject


class NewExecution(Struct, frozen=True):
    """A start, validated and decided. Its first event is `created`."""

    id: ExecutionId
    created: ExecutionCreated
    definition_hash: str
    definition: bytes  # canonical JSON; stored once by hash
    input: Payload
    complexity: bytes  # JSON of the mode decision, for `metadata`
    timeout_ms: int | None = None  # deadline = created_at + this, by the database's clock
    request_id: str = ""  # empty: not repeatable
    request_hash: str = ""  # of the body, to tell a repetition from a conflict
    retry_of: str = ""
    forked: ExecutionForked | None = None  # event 2 of a retry
    workflow_version: int = 0
    deadline_at: datetime | None = None  # at the latest
    parent_waits: str = ""  # of a child, when its end wakes the parent: each, failed, last; empty: never
    on_conflict: str = "allow"  # reject, use_existing, cancel_existing: while others of its workflow are live
    namespace: str = DEFAULT_NAMESPACE
    slot: SlotPolicy | None = None
    rate: RatePolicy | None = None
    needs: tuple[str, ...] = ()  # of a worker, beyond what every worker can; sorted

    @property
    def parent_id(self) -> str:
        return self.created.parent.execution_id if self.created.parent else ""


class ImmediateRun(Struct, frozen=True):
    """The executor's own lease on an execution that it starts itself (epoch 1)."""

    owner: str
    first: Entry | None = None  # report 1, committed in the same transaction


class Started(Struct, frozen=True):
    execution_id: ExecutionId
    created: bool  # False: the request id, a live retry or `use_existing` named one that was there
    first_sequence: int = 0  # of the first entry's events
    database_time: datetime | None = None  # the database's clock at the commit
    deadline_at: datetime | None = None
    record: ExecutionRecord | None = None  # its row, when this commit also ended it, or queued it
    replaced: tuple[ExecutionId, ...] = ()  # by it: told to cancel, some still running
    queued: bool = False  # asked to run at once; its key is at its limit


class ReportOutcome(Enum):
    OK = "OK"
    UNSEEN_EVENTS = "UNSEEN_EVENTS"  # refused: the give-up did not know all events
    LEASE_LOST = "LEASE_LOST"  # another epoch, or not running any more
    REPORT_CONFLICT = "REPORT_CONFLICT"  # this number was accepted with another body
    REPORT_GAP = "REPORT_GAP"  # a number was left out


class Report(Struct, frozen=True):
    """One entry of one runner, fenced. Repeating it repeats the reply."""

    execution_id: ExecutionId
    epoch: int
    owner: str  # of the lease
    report_no: int  # from 1 in each epoch
    seen_sequence: int
    events_json: bytes  # JSON array without sequences
    event_count: int
    payloads: Sequence[tuple[str, bytes]] = ()  # (hash, JSON text)
    has_outcome: bool = False  # a step outcome is among the events: resets the count of lost leases
    entry: Entry | None = None  # require_seen, give_up, snapshot
    namespace: str = ""  # of whoever reports; empty: it may report for any


class ReportReply(Struct, frozen=True):
    execution_id: ExecutionId
    outcome: ReportOutcome
    first_sequence: int = 0
    last_sequence: int = 0
    unseen: Sequence[StoredBatch] = ()  # after seen_sequence, not written by this runner


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """Events committed together; consecutive sequences."""

    first_sequence: int
    last_sequence: int
    events_json: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    worker_id: str
    claim_id: str
    free_slots: int
    capabilities: Sequence[str] = ()
    namespace: str = DEFAULT_NAMESPACE  # empty: of any
    snapshot_format: int = 0  # that the worker can read; others stay here, and the whole history goes
    full: Sequence[str] = ()  # namespaces that nothing is claimed of


@dataclass(frozen=True, slots=True)
class ClaimedExecution:
    execution_id: ExecutionId
    epoch: int
    definition_hash: str
    snapshot: bytes  # empty: fold from event 1
    batches: Sequence[StoredBatch]  # after the snapshot; the claim's own event is the last
    last_sequence: int
    database_time: datetime
    deadline_at: datetime | None
    lease_seconds: float
    quarantined: bool = False


class ExecutionRecord(Struct, frozen=True):
    """A row of `workflow_executions`, without history."""

    id: ExecutionId
    namespace: str
    workflow_id: str
    workflow_name: str
    workflow_version: int
    status: str
    mode: str
    requested_mode: str
    pending_control: str | None  # pause, cancel
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    definition_hash: str
    input_hash: str
    priority: int
    tags: tuple[str, ...]
    error: JsonValue  # Failure as JSON, when failed
    result: bytes | None  # {output, steps} JSON text, when terminal and written by a runner
    complexity: bytes  # JSON text
    waits: JsonValue  # what open steps wait for, when waiting or paused
    epoch: int
    last_sequence: int
    wake_at: datetime | None
    deadline_at: datetime | None
    retry_of: str
    root_id: str
    parent_id: str
    parent_step: str  # JSON [node id, *iteration]
    parent_index: int | None  # of an item of a distributed loop
    lease_owner: str
    lease_expires_at: datetime | None
    pending_since: datetime | None
    needs: tuple[str, ...] = ()  # of a worker
    slot_wanted: str = ""  # key of the slot that it waits for
    slot_limit: int = 0
    rate_wanted: str = ""  # key of the rate that it waits for
    rate_limit: int = 0
    rate_period_ms: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """What a control call did. `changed` is False when it was so already or is impossible."""

    record: ExecutionRecord
    changed: bool


@dataclass(frozen=True, slots=True)
class Signal:
    """What one execution means for another. See persistence/relatives.py."""

    source: str
    target: str
    kind: str  # start, finished, control
    body: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Nudged:
    """A leased execution whose history grew by other hands than its runner's."""

    execution_id: ExecutionId
    epoch: int
    owner: str
    foreign_sequence: int


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Executions that match all that is set."""

    workflow_id: str = ""
    statuses: Sequence[str] = ()
    mode: str = ""
    tags: Sequence[str] = ()  # all of these
    parent_id: str = ""
    created_after: datetime | None = None
    created_before: datetime | None = None
    min_duration_ms: int | None = None  # of ended ones that began
    max_duration_ms: int | None = None  # inclusive
    error_code: str = ""
    error_text: str = ""  # part of the message, in any case
    namespace: str = DEFAULT_NAMESPACE


class Place(NamedTuple):
    """Of a change in the stream over all executions. Places compare as the stream goes."""

    position: int
    execution_id: str
    first_sequence: int


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Conditions on an execution, or on how it stands after a change; empty ones allow all."""

    workflow_id: str = ""
    statuses: Sequence[str] = ()
    mode: str = ""
    tags: Sequence[str] = ()  # all of these
    namespace: str = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Change:
    """Events of one execution that were committed together, and how it stands after them."""

    place: Place
    workflow_id: str
    workflow_name: str
    status: str
    mode: str
    last_sequence: int
    finished_steps: int
    node_count: int  # 0: with loops nobody knows how many steps there will be
    events_json: bytes
    started_at: datetime | None = None
    estimate_ms: float | None = None  # of the whole run, made when it was started


@dataclass(frozen=True, slots=True)
class ChangePage:
    changes: Sequence[Change]
    reached: Place  # everything up to here was looked at
    more: bool = False  # there is more to read at once
    unsettled: bool = False  # there is more as soon as older transactions have ended


@dataclass(frozen=True, slots=True)
class PurgeFilter:
    """Conditions on pending executions; empty ones allow all."""

    workflow_id: str = ""
    priority: int | None = None
    key: str = ""  # of a slot or a rate, as the definition's expression gave it
    created_before: datetime | None = None
    namespace: str = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class QueueState:
    """Counts end at what the question allowed."""

    pending: int
    oldest_pending_seconds: float
    ready: int = 0  # may be claimed now
    oldest_ready_seconds: float = 0.0


MOST_AHEAD = 1000
"""So far a place in the queue is counted; whoever is behind that is told that it is more."""


class Bell(NamedTuple):
    """Some worker is to be told that an execution waits; until `taken_until` by one dispatcher only."""

    execution_id: ExecutionId
    priority: int
    taken_until: datetime


class ExecutionPersistence(Protocol):
    """Executions, their histories, leases and outbox."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def ping(self) -> datetime:
        """The database's time; raises Unavailable."""
        ...

    async def secret(self, name: str, namespace: str) -> bytes:
        """32 random bytes, the same for every executor of this database."""
        ...

    # Starting, running ------------------------------------------------------------------------

    async def create(self, new: NewExecution, run: ImmediateRun | None = None) -> Started:
        """Commit row, event 1 and either the outbox row (pending) or the executor's lease (running).

        Raises IdempotencyConflict, WorkflowRunning, SlotsTaken, RateExceeded. A known request id with the
        same hash answers with the winner; so does `on_conflict` where it says so.
        A retry (`retry_of`) answers with the live retry of the same execution if there is one.
        """
        ...

    async def find_start(self, request_id: str, request_hash: str, namespace: str) -> ExecutionId | None:
        """The execution that this request id started, if any. Raises IdempotencyConflict."""
        ...

    async def report(self, report: Report) -> ReportReply:
        """PROTOCOL 6-8, 10: group-committed; one UPDATE on epoch, report number and status."""
        ...

    async def claim_next(self, claim: Claim) -> list[ClaimedExecution]:
        """PROTOCOL 2: pending → running, epoch + 1, event `execution.claimed`; by priority with ageing."""
        ...

    async def renew_leases(self, owner: str, leases: Collection[tuple[ExecutionId, int]]) -> set[ExecutionId]:
        """One UPDATE for all of an owner's executions. Returns those that are no longer its."""
        ...

    async def release(
        self, owner: str, leases: Collection[tuple[ExecutionId, int]], *, process_died: bool = False
    ) -> None:
        """Give claims back unworked: → pending, epoch + 1, outbox; counts as no lost lease.

        process_died: the process that ran them alone. That is a lost lease, and failed WORKER_LOST when
        quarantined.
        """
        ...

    # Control ----------------------------------------------------------------------------------

    async def pause(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move: ...
    async def resume(self, execution_id: ExecutionId, namespace: str) -> Move: ...
    async def cancel(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move: ...

    async def requeue(self, execution_id: ExecutionId, namespace: str, *, first: bool = False) -> Move:
        """running → pending, epoch + 1. first: to the front of its queue, pending ones too."""
        ...

    async def purge(self, where: PurgeFilter, limit: int, reason: str) -> list[ExecutionId]:
        """Cancel pending executions, at most so many, oldest first."""
        ...

    async def would_purge(self, where: PurgeFilter) -> list[ExecutionId]: ...

    async def signal(
        self,
        execution_id: ExecutionId,
        node_id: str,
        iteration: Iteration,
        attempt: int,
        payload: Payload,
        expected_sequence: int,
        namespace: str,
        record: ExecutionRecord | None = None,
    ) -> ExecutionRecord | None:
        """Record an answer (event `signal.received`, waiting → pending + outbox) if nothing happened
        since `expected_sequence`; None if something did: look again.

        record: how it stood then, of a caller who saw in its history that this instance has no answer: that
        is not read again. Raises AlreadyAnswered when this instance has another answer; the same answer
        again changes nothing.
        """
        ...

    # Background -------------------------------------------------------------------------------

    async def expire_leases(self, grace_seconds: float = 0.0) -> list[ExecutionId]:
        """PROTOCOL 4, 11, 17: lease over → pending (or cancelled, or failed WORKER_LOST), epoch + 1."""
        ...

    async def wake_due(self, limit: int = 500) -> list[ExecutionId]:
        """PROTOCOL 19: wake_at past → `timer.fired`, and of waiting ones pending, outbox; paused stay so."""
        ...

    async def fail_overdue(self, limit: int = 500) -> list[ExecutionId]:
        """PROTOCOL 14, 19: deadline past → failed TIMEOUT, epoch + 1 (leased ones 5 s later)."""
        ...

    async def take_bells(self, limit: int) -> list[Bell]:
        """Outbox rows that nobody else is about to ring, oldest first."""
        ...

    async def bells_rung(self, bells: Collection[Bell]) -> None:
        """They are gone, but for those that came back meanwhile."""
        ...

    async def take_signals(self, limit: int) -> list[Signal]:
        """The oldest signals that nobody is at. Whoever takes one and does not apply it leaves it to others
        after some seconds."""
        ...

    async def due_starts(self, parent_id: ExecutionId) -> list[Signal]:
        """Children of an execution that may start, whoever is at it; held ones are let go before."""
        ...

    async def forget_signals(self, signals: Collection[Signal]) -> None:
        """Those of executions that are not there any more."""
        ...

    async def finish_children(
        self, parent_id: ExecutionId, child_ids: Collection[ExecutionId]
    ) -> ExecutionRecord | None:
        """Tell a parent of children that have ended (`child.finished`, waiting → pending). None: there is
        nothing left to tell, or nobody to tell it to."""
        ...

    async def control_children(self, signal: Signal) -> list[ExecutionRecord]:
        """Do with the children what was done with the parent. Those that changed."""
        ...

    async def forget_requests(self) -> int:
        """Drop some request ids whose 24 hours are over; how many. 0: there are no more."""
        ...

    async def nudges(self, owners: Collection[str]) -> list[Nudged]:
        """Running executions of these owners with foreign events after the runner's seen_sequence."""
        ...

    async def queue_state(self, most: int) -> QueueState:
        """most: so many are counted."""
        ...

    async def queue_position(self, execution_id: ExecutionId, namespace: str) -> int:
        """From 1; MOST_AHEAD + 1: that or later; 0 when not pending."""
        ...

    async def expire_executor_leases(self, except_owner: str) -> int:
        """SQLite only (the lock is ours, so every other executor is dead): expire their leases at once."""
        ...

    # Reading ----------------------------------------------------------------------------------

    async def get(self, execution_id: ExecutionId, namespace: str) -> ExecutionRecord:
        """Raises ExecutionNotFound."""
        ...

    async def look(
        self, execution_id: ExecutionId, namespace: str
    ) -> tuple[ExecutionRecord, list[StoredBatch]]:
        """Its row, and the beginning of its history. Raises ExecutionNotFound."""
        ...

    async def lease_of(self, execution_id: ExecutionId) -> tuple[str, str]:
        """(namespace, owner); the owner is empty when nobody runs it. Raises ExecutionNotFound."""
        ...

    async def namespace_of(self, execution_id: ExecutionId) -> str:
        """For whoever proves a right to one execution by other means. Raises ExecutionNotFound."""
        ...

    async def events(
        self,
        execution_id: ExecutionId,
        after_sequence: int,
        limit: int,
        namespace: str,
    ) -> list[StoredBatch]:
        """Whole batches that reach beyond `after_sequence`, about `limit` events.

        The first may begin before."""
        ...

    async def last_sequences(self, ids: Collection[ExecutionId]) -> dict[ExecutionId, tuple[int, str]]:
        """(last sequence, status) of each, in one query."""
        ...

    async def change_head(self, namespace: str) -> Place:
        """The newest place of the stream over all executions."""
        ...

    async def changes(self, after: Place, where: ChangeFilter, limit: int) -> ChangePage:
        """PROTOCOL 21: what follows a place, in an order that never changes and grows only at its end."""
        ...

    async def definition(self, definition_hash: str, namespace: str) -> bytes: ...
    async def payload(self, payload_hash: str, namespace: str) -> bytes: ...

    async def list(
        self, where: ExecutionFilter, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[ExecutionRecord]:
        """Newest first; `before` is (created_at, id) of the last one seen. Records without result."""
        ...

    async def count(self, where: ExecutionFilter, most: int) -> int:
        """How many match; `most` + 1 when there are more than `most`."""
        ...


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    id: str
    name: str
    version: int
    definition: bytes
    definition_hash: str
    created_at: datetime  # of version 1
    updated_at: datetime  # of this version
    labels: Mapping[str, str] = field(default_factory=dict)  # of the workflow, whatever the version


class WorkflowStore(Protocol):
    """Stored definitions: each change a new immutable version."""

    async def create_workflow(
        self,
        workflow_id: str,
        name: str,
        definition_hash: str,
        definition: bytes,
        namespace: str,
        labels: Mapping[str, str] | None = None,
    ) -> StoredWorkflow:
        """Raises WorkflowExists."""
        ...

    async def update_workflow(
        self,
        workflow_id: str,
        name: str,
        definition_hash: str,
        definition: bytes,
        expected_version: int,
        namespace: str,
    ) -> StoredWorkflow:
        """Raises WorkflowNotFound, VersionConflict. The same definition again changes nothing."""
        ...

    async def get_workflow(self, workflow_id: str, version: int, namespace: str) -> StoredWorkflow:
        """Raises WorkflowNotFound."""
        ...

    async def list_workflows(
        self,
        limit: int,
        after: str,
        namespace: str,
        labels: Mapping[str, str] | None = None,
    ) -> list[StoredWorkflow]:
        """By id; without definitions. labels: only those that have all of these."""
        ...

    async def list_versions(
        self, workflow_id: str, limit: int, before: int, namespace: str
    ) -> list[StoredWorkflow]:
        """Newest first, without definitions; before: a version, 0 for none. Raises WorkflowNotFound."""
        ...

    async def label_workflow(
        self,
        workflow_id: str,
        change: Callable[[dict[str, str]], Mapping[str, str]],
        namespace: str,
    ) -> StoredWorkflow:
        """Replace the labels by what `change` makes of them. Raises WorkflowNotFound, and what it raises."""
        ...

    async def delete_workflow(self, workflow_id: str, namespace: str) -> None:
        """Raises WorkflowNotFound. Versions stay readable for executions that run them."""
        ...
