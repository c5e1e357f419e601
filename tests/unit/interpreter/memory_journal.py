"""An execution's row and history in memory, with the rules that the database keeps for both.

Source: docs/protocol.md, "Reporting" and "Control".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from flow_engine.errors import LeaseLost
from flow_engine.interpreter import events as e
from flow_engine.interpreter.journal import Entry, GiveUp, Receipt
from flow_engine.payload import Payload, PayloadRef
from tests.unit.interpreter.virtual_time import database_now

TERMINAL = ("completed", "failed", "cancelled")
COMMIT_SECONDS = 0.001


@dataclass(slots=True)
class MemoryExecution:
    """What the database knows of one execution. Its `history` is what a runner starts from."""

    history: list[e.AnyEvent] = field(default_factory=list)
    payloads: dict[str, bytes] = field(default_factory=dict)  # by content hash
    status: str = "running"
    mode: str = "queued"
    epoch: int = 0
    pending_control: str = ""
    given_up: GiveUp | None = None
    snapshot: bytes = b""
    snapshot_sequence: int = 0
    commits: int = 0
    empty_commits: int = 0

    @property
    def last_sequence(self) -> int:
        return len(self.history)

    def write(self, events: Sequence[e.Event]) -> int:
        """Append and number them, as storage would give them back. Returns the first sequence."""
        first = self.last_sequence + 1
        floor = self.history[-1].time if self.history else None
        timed = [
            event if floor is None else msgspec.structs.replace(event, time=max(event.time, floor))
            for event in events
        ]
        self.history.extend(e.decode_events(e.encode_events(timed), first))
        return first

    def store(self, *payloads: Payload) -> None:
        for payload in payloads:
            self.payloads[payload.ref.hash] = payload.text

    async def payload(self, ref: PayloadRef) -> bytes:
        text = self.payloads[ref.hash]
        assert len(text) == ref.bytes
        return text

    def move(self, status: str) -> None:
        self.status = status
        if status != "running":
            self.pending_control = ""


Fault = Callable[[Entry], str]
"""Asked before each commit: "" goes well; "before": the process dies and nothing was written;
"after": it dies between the commit and the answer."""


def no_fault(_entry: Entry) -> str:
    return ""


class MemoryJournal:
    """One lease on a `MemoryExecution`. Breaking a rule of the protocol fails the test at once."""

    def __init__(self, execution: MemoryExecution, fault: Fault = no_fault) -> None:
        self.execution = execution
        self._fault = fault
        self._epoch = execution.epoch
        self._seen = execution.last_sequence
        self._busy = False
        self._newest: datetime | None = None

    async def sure(self) -> None:
        pass

    def database_now(self) -> datetime:
        return database_now()

    async def commit(self, entry: Entry) -> Receipt:
        assert not self._busy, "one entry at a time is in flight"
        self._busy = True
        try:
            return await self._commit(entry)
        finally:
            self._busy = False

    async def _commit(self, entry: Entry) -> Receipt:
        await asyncio.sleep(COMMIT_SECONDS)
        row = self.execution
        if row.epoch != self._epoch or row.status != "running":
            raise LeaseLost("execution")
        fault = self._fault(entry)
        if fault == "before":
            raise LeaseLost("execution")
        unseen = row.history[self._seen :]
        if self._refuses(entry, unseen):
            self._seen = row.last_sequence
            return Receipt(committed=False, unseen=unseen)
        self._check(entry)
        row.commits += 1
        row.empty_commits += not entry.events and entry.give_up is None and not unseen
        row.store(*entry.payloads)
        first = row.write(entry.events)
        self._seen = row.last_sequence
        if entry.snapshot:
            row.snapshot, row.snapshot_sequence = entry.snapshot, row.last_sequence
        for event in entry.events:
            assert not _missing_refs(event, row.payloads), f"{event} refers to a value nobody has"
        if entry.promotes:
            row.mode = "queued"
        if entry.give_up is not None:
            self._give_up(entry.give_up)
        if fault == "after":
            raise LeaseLost("execution")
        return Receipt(committed=True, first_sequence=first, unseen=unseen)

    def _refuses(self, entry: Entry, unseen: Sequence[e.AnyEvent]) -> bool:
        return bool(unseen) and (entry.require_seen or entry.give_up is not None)

    def _check(self, entry: Entry) -> None:
        ends = [event for event in entry.events if isinstance(event, e.TERMINAL_EVENTS)]
        assert len(ends) == (entry.give_up is not None and entry.give_up.status in TERMINAL)
        if self.execution.pending_control == "cancel":
            assert all(isinstance(end, e.ExecutionCancelled) for end in ends)
        for event in entry.events:
            assert self._newest is None or event.time >= self._newest, "time goes back"
            self._newest = event.time

    def _give_up(self, give_up: GiveUp) -> None:
        assert give_up.status in ("pending", "waiting", "paused", *TERMINAL)
        row = self.execution
        row.given_up = give_up
        row.mode = "queued" if give_up.status not in TERMINAL else row.mode
        row.move(give_up.status)


def _missing_refs(event: e.Event, payloads: dict[str, bytes]) -> list[Any]:
    fields = [getattr(event, name, None) for name in ("input_ref", "output_ref", "payload_ref")]
    loop = getattr(event, "loop", None)
    fields.append(loop and loop.items_ref)
    return [ref for ref in fields if ref is not None and ref.hash not in payloads]
