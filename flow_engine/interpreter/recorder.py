"""The history as a run writes it: facts are held for a moment, committed in order, never lost in between.

Source of the rules: docs/protocol.md, "Reporting".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct

from flow_engine.interpreter.events import Event
from flow_engine.interpreter.journal import Entry, GiveUp, Journal
from flow_engine.interpreter.values import Values
from flow_engine.payload import Payload

HOLD_SECONDS = 0.05
HOLD_EVENTS = 256
ENTRY_BYTES = 2 << 20
"""About what an entry may weigh with the values that it brings, to fit into one message; a single event
may weigh more."""
EVENT_BYTES = 256
"""Of an event without its values."""


class _Held(Struct, frozen=True):
    """An event that is recorded and not committed yet, with the values that must come along."""

    event: Event
    payloads: Sequence[Payload]
    bytes: int


class Recorder:
    """Buffer and commits of one run; one commit is under way at a time.

    take_in: told of each event that came with a commit: those of others, and `extra` ones.
    spawn: starts work beside the run. failed: told when the journal refuses for good.
    """

    def __init__(
        self,
        journal: Journal,
        values: Values,
        take_in: Callable[[Event], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._journal = journal
        self._values = values
        self._take_in = take_in
        self._spawn = spawn
        self._failed = failed
        self._held: list[_Held] = []
        self._referred: set[str] = set()  # they are with an earlier event already
        self._recorded = 0
        self._committed = 0
        self._foreign = 0  # events of others that came with a commit
        self._committing = asyncio.Lock()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._closed: BaseException | None = None

    @property
    def is_behind(self) -> bool:
        """So much is held that the run should wait for the database."""
        return len(self._held) > 8 * HOLD_EVENTS

    def record(self, event: Event, payloads: Sequence[Payload], referred: Sequence[Payload] = ()) -> None:
        """Hold a new fact, and commit it within moments. referred: values that go along however small."""
        size, large = EVENT_BYTES, []
        for payload in payloads:
            size += len(payload.text)
            if not payload.inline:
                large.append(payload)
        for payload in referred:
            if payload.ref.hash not in self._referred:
                self._referred.add(payload.ref.hash)
                large.append(payload)
        for payload in large:
            self._values.keep(payload)
        self._held.append(_Held(event, large, size))
        self._recorded += 1
        if len(self._held) >= HOLD_EVENTS:
            self._flush()
        else:
            self._flush_later()

    async def durable(self) -> None:
        """Returns when everything recorded so far is committed, by whoever commits it."""
        target = self._recorded
        while self._committed < target:
            async with self._committing:
                if self._committed < target:
                    await self._write(self._portion())

    async def commit(
        self,
        extra: Sequence[Event],
        *,
        require_seen: bool = False,
        give_up: GiveUp | None = None,
        payloads: Sequence[Payload] = (),
        snapshot: bytes = b"",
    ) -> bool:
        """Commit what is held, and `extra` behind it, as one entry, or several if it is much.

        snapshot: of the state after `extra`. Events of others come back with the receipt. False: they
        were not known, and nothing was written; `extra` is forgotten then.
        """
        known = self._foreign
        async with self._committing:
            if (require_seen or give_up is not None) and self._foreign != known:
                return False  # the commit that was under way brought news: look again
            while (portion := self._portion()) < len(self._held):
                await self._write(portion)
            return await self._write(portion, extra, require_seen, give_up, payloads, snapshot)

    def close(self, why: BaseException) -> None:
        """Write nothing more: whoever tries gets `why` instead."""
        self._closed = self._closed or why
        if self._flush_timer is not None:
            self._flush_timer.cancel()

    def release(self) -> None:
        """Nothing will be recorded any more: know nobody, so that the run is freed once it is forgotten."""
        self._take_in = self._spawn = self._failed = _nobody
        self._flushing = None

    def _flush(self) -> None:
        """Commit what is held, beside the run; one such commit at a time."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if (self._flushing is None or self._flushing.done()) and self._closed is None:
            self._flushing = self._spawn(self._flush_held())

    async def _flush_held(self) -> None:
        await self.durable()
        if self._held:  # recorded during the commit
            self._flush_later()

    def _flush_later(self) -> None:
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._flush)

    def _portion(self) -> int:
        """How many of the held events one entry takes."""
        size = 0
        for count, held in enumerate(self._held):
            size += held.bytes
            if size > ENTRY_BYTES and count:
                return count
        return len(self._held)

    async def _write(
        self,
        portion: int,
        extra: Sequence[Event] = (),
        require_seen: bool = False,
        give_up: GiveUp | None = None,
        payloads: Sequence[Payload] = (),
        snapshot: bytes = b"",
    ) -> bool:
        if self._closed is not None:  # what follows a lost commit must not be written without it
            raise self._closed
        held, self._held = self._held[:portion], self._held[portion:]
        kept = [payload for one in held for payload in one.payloads]
        events = [*(one.event for one in held), *extra]
        entry = Entry(events, [*kept, *payloads], require_seen, give_up, snapshot)
        try:
            receipt = await self._journal.commit(entry)
        except BaseException as error:
            self.close(error)
            self._failed(error)
            raise
        self._foreign += len(receipt.unseen)
        if receipt.committed:
            self._committed += len(held)
            self._values.committed(kept)
        else:
            self._held[:0] = held
        for event in (*receipt.unseen, *(extra if receipt.committed else ())):
            self._take_in(event)
        return receipt.committed


def _nobody(_: Any) -> Any:
    """In the place of whoever was told."""
