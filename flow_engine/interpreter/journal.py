"""The seam between a run and the database: an append-only, fenced history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from flow_engine.interpreter.events import AnyEvent, Event, ExecutionPromoted
from flow_engine.payload import Payload, PayloadRef


class GiveUp(Struct, frozen=True):
    """How a run ends or is put down. PROTOCOL 7: only when every event was seen."""

    status: str  # pending, waiting, paused, completed, failed, cancelled
    wake_at: datetime | None = None  # earliest timer, when waiting or paused
    wake_timer: str = ""  # its timer id
    all_waiting: bool = False  # every open step waits; decides where resume leads
    waits: Sequence[dict[str, object]] = ()  # [{nodeId, iteration, kind, until}] of open waiting steps
    result: bytes = b""  # {output, steps} JSON, when terminal
    error: bytes = b""  # Failure JSON, when failed


class Entry(Struct, frozen=True):
    """What a run hands to its journal in one go: it is committed whole or not at all."""

    events: Sequence[Event]
    payloads: Sequence[Payload] = ()
    require_seen: bool = False  # refuse when there are events that the run has not seen
    give_up: GiveUp | None = None
    snapshot: bytes = b""

    @property
    def promotes(self) -> bool:
        """The execution's mode becomes `queued` in the same transaction."""
        return any(isinstance(event, ExecutionPromoted) for event in self.events)


class Receipt(Struct, frozen=True):
    """The journal's answer to an entry."""

    committed: bool  # False: refused because of unseen events
    first_sequence: int = 0  # of the entry's events
    unseen: Sequence[AnyEvent] = ()
    """Events that others wrote and the run did not know, in order of sequence."""


class Journal(Protocol):
    """The history of the one execution that this process has leased.

    Entries are committed in the order in which `commit` was called; one at a time is
    in flight. Raises LeaseLost when the execution is no longer ours: drop the run.
    Transient faults are retried inside, with the same report number.
    """

    async def commit(self, entry: Entry) -> Receipt: ...

    async def sure(self) -> None:
        """Returns once the lease was renewed lately enough to begin an outside effect under it."""
        ...

    def database_now(self) -> datetime:
        """The database's clock at the claim plus what has passed since, monotonically."""
        ...


class PayloadSource(Protocol):
    async def payload(self, ref: PayloadRef) -> bytes:
        """JSON text of a value by its content hash."""
        ...
