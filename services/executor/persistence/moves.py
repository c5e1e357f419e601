"""The moves of an execution from status to status: one table, and what each move entails.

A `Draft` is an execution's row inside a transaction that holds its lock. Decisions change the
draft; the transaction then writes row, events and outbox together, or nothing at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from flow_engine.ids import Iteration
from flow_engine.interpreter.events import Event, ExecutionPromoted, encode_events
from services.executor.persistence.contract import TERMINAL
from services.executor.persistence.offers import NewTask, TaskChanges
from services.executor.persistence.relatives import CONTROL, FINISHED, NewSignal
from services.executor.persistence.row import Fence, Line, NewBatch, Row
from services.executor.persistence.tables import duration_class

AGEING_SECONDS = 60
"""How much waiting outweighs one step of priority: nothing in the queue starves."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of move. Terminal states are in no `sources`: they absorb."""

    sources: frozenset[str]
    targets: frozenset[str]
    by: str  # who makes it
    fences: bool = False  # epoch + 1: whoever ran it until now is locked out


def _rule(sources: str, targets: str, by: str, *, fences: bool = False) -> Rule:
    return Rule(frozenset(sources.split()), frozenset(targets.split()), by, fences)


MOVES = {
    "claim": _rule("pending", "running", "worker", fences=True),
    "give_up": _rule("running", "pending waiting paused completed failed cancelled", "runner"),
    "release": _rule("running", "pending paused cancelled", "runner", fences=True),
    "requeue": _rule("running", "pending paused cancelled", "operator", fences=True),
    "expire": _rule("running", "pending paused cancelled failed", "sweeper", fences=True),
    "wake": _rule("waiting", "pending", "sweeper, or whoever answers"),
    "pause": _rule("pending waiting", "paused", "caller"),
    "resume": _rule("paused", "pending waiting", "caller"),
    "cancel": _rule("pending waiting paused", "cancelled", "caller"),
    "deadline": _rule("pending running waiting paused", "failed cancelled", "sweeper", fences=True),
}
"""Starting is not in it: a row begins as `pending`, or `running` under the executor's own lease."""


@dataclass(slots=True)
class Draft:
    """An execution that is being changed. `fence` is None when it is being started."""

    row: Row
    now: datetime  # the database's
    fence: Fence | None = None
    was_held: bool = False  # it was pending and waited for its key
    had_slot: bool = False
    changed: bool = False
    written: set[str] = field(default_factory=set)  # columns that may differ from what was read
    batches: list[NewBatch] = field(default_factory=list)
    payloads: list[tuple[str, bytes]] = field(default_factory=list)  # (hash, JSON text)
    snapshot: tuple[int, bytes] | None = None  # state after the event of this sequence
    new_tasks: list[NewTask] = field(default_factory=list)
    signals: list[NewSignal] = field(default_factory=list)  # to its children and its parent
    ended_tasks: set[tuple[str, Iteration]] = field(default_factory=set)  # steps that wait no more

    @classmethod
    def of(cls, row: Row, now: datetime) -> Draft:
        fence = Fence(row.status, row.epoch, row.report_no, row.last_sequence)
        return cls(row, now, fence, was_held=row.held, had_slot=row.slot_key != "")

    def set(self, **columns: Any) -> None:
        self.changed = True
        for name, value in columns.items():
            if getattr(self.row, name) != value:
                setattr(self.row, name, value)
                self.written.add(name)

    def record(self, *events: Event) -> None:
        """Append events by other hands than the runner's, none before the event ahead of it."""
        time = max(self.now, self.row.last_event_at)
        timed = [msgspec.structs.replace(event, time=time) for event in events]
        text = encode_events(timed)
        self.append(text, len(timed), finished_in(text), time)
        self.set(foreign_sequence=self.row.last_sequence)

    def append(
        self,
        events: bytes,
        count: int,
        steps_finished: int,
        last_event_at: datetime,
        *,
        epoch: int = 0,
        report_no: int = 0,
        report_hash: str = "",
    ) -> None:
        first, last = self.row.last_sequence + 1, self.row.last_sequence + count
        finished = self.row.finished_steps + steps_finished
        self.batches.append(NewBatch(first, last, events, epoch, report_no, report_hash, finished))
        self.set(last_sequence=last, last_event_at=last_event_at, finished_steps=finished)

    def promote(self, reason: str) -> None:
        """An immediate run goes on in the queue: its mode never changes without the event that says so."""
        if self.row.execution_mode == "immediate":
            self.record(ExecutionPromoted(time=self.now, reason=reason))
            self.set(execution_mode="queued")

    def tell_children(self, what: str) -> None:
        """what: pause, resume, cancel, or end: cancel those that somebody waits for."""
        if self.row.has_children:
            self.signals.append(NewSignal(self.row.id, "", CONTROL, body=what))

    def change_tasks(self, changes: TaskChanges) -> None:
        """Offer tasks, and put an end to those of steps that wait no more."""
        self.new_tasks.extend(changes.offered)
        self.ended_tasks.update(changes.ended)
        if changes.offered:
            self.set(has_tasks=True)

    def move(self, kind: str, status: str) -> None:
        """Change the status, with all that follows from where it leads."""
        rule = MOVES[kind]
        if self.row.status not in rule.sources or status not in rule.targets:
            raise AssertionError(f"no move {kind} from {self.row.status} to {status}")
        if rule.fences:
            self.set(epoch=self.row.epoch + 1, report_no=0, report_hash="", report_first_sequence=0)
        self.set(status=status)
        self.settle()

    def settle(self) -> None:
        """Make lease, queue place, slot, wake-up and end agree with the status."""
        status = self.row.status
        if status != "running":
            self.set(lease_owner="", lease_expires_at=None, claim_id="", quarantined=False)
            self.set(pending_control=None, control_reason="")
        if status != "pending":
            self.set(pending_since=None)
        elif self.row.pending_since is None:
            place = self.now + timedelta(seconds=AGEING_SECONDS * self.row.priority)
            self.set(pending_since=self.now, queue_order=place)
        self._settle_slot()
        if status not in ("waiting", "paused"):
            self.set(wake_at=None, wake_timer="", waits=None, all_waiting=False)
        if status in TERMINAL:
            self._end(max(self.now, self.row.last_event_at))
            self._tell_relatives()

    def _tell_relatives(self) -> None:
        if self.row.parent_waits:
            self.signals.append(NewSignal(self.row.id, self.row.parent_id, FINISHED, self.row.parent_step))
        if self.row.status != "completed":
            self.tell_children("cancel" if self.row.status == "cancelled" else "end")

    def _end(self, now: datetime) -> None:
        began = self.row.started_at
        took = None if began is None else max(0, (now - began) // timedelta(milliseconds=1))
        self.set(completed_at=now, duration_class=None if took is None else duration_class(took))

    def _settle_slot(self) -> None:
        """Who runs has its slot; who comes back to the queue from a runner brings it along."""
        row = self.row
        if row.status in TERMINAL or (row.status in ("waiting", "paused") and not row.keeps_slot):
            self.set(slot_key="")
        queued = row.status == "pending"
        self.set(
            slot_wanted=row.concurrency_key if queued and not row.slot_key else "",
            rate_wanted=row.rate_key if queued and row.rated_at is None else "",
        )

    def admit(self) -> None:
        """It is within the limits of its keys: it holds its slot and counts against its rate from now on."""
        self.set(slot_key=self.row.concurrency_key, slot_wanted="", rate_wanted="")
        if self.row.rate_key and self.row.rated_at is None:
            self.set(rated_at=self.now)

    @property
    def status_before(self) -> str:
        """Until this transaction; of a start that brings its first report with it: running."""
        return self.fence.status if self.fence else "running"

    @property
    def ended(self) -> bool:
        return self.row.status in TERMINAL

    @property
    def rings(self) -> bool:
        """It may be claimed from now on: a bell goes to the outbox."""
        if self.row.status != "pending" or self.row.held:
            return False
        return self.fence is None or self.fence.status != "pending" or self.was_held

    @property
    def opens(self) -> Line | None:
        """Where somebody may be admitted now: it joined a line, or left a slot to one."""
        row = self.row
        if row.held and not self.was_held:
            return Line(row.namespace, row.slot_wanted, row.rate_wanted)
        if self.had_slot and not row.slot_key:
            return Line(row.namespace, row.concurrency_key, None)
        return None

    @property
    def silences(self) -> bool:
        """It left the queue: its bell, if not yet rung, need not ring."""
        return self.fence is not None and self.fence.status == "pending" and self.row.status != "pending"


class _Kind(msgspec.Struct):
    type: str


_kinds = msgspec.json.Decoder(list[_Kind])
FINISHING = frozenset(("step.completed", "step.failed", "step.skipped", "step.cancelled"))


def finished_in(events_json: bytes) -> int:
    """How many steps came to their end by these events."""
    return sum(event.type in FINISHING for event in _kinds.decode(events_json))


def all_batches(drafts: Sequence[Draft]) -> list[tuple[Row, str, NewBatch]]:
    """Each with the status after it: the last batch brought the new one, those before it did not."""
    return [
        (draft.row, draft.row.status if batch is draft.batches[-1] else draft.status_before, batch)
        for draft in drafts
        for batch in draft.batches
    ]
