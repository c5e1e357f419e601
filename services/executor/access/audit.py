"""Who did what to which, when and from where: kept for every call that changes something.

What changes the database is told in the same transaction. What is left, refusals and calls that found their
goal reached, is written in groups right after the answer; while the database does not answer it waits here,
so much at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import structlog
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from msgspec import Struct

from flow_engine.looping import Looping
from services.executor.access.authenticator import DatabaseTime
from services.executor.access.caller import Caller
from services.executor.persistence.audit_entries import AuditEntry, Deed, set_deed

log = structlog.get_logger()

FLUSH_SECONDS = 0.25
BATCH = 500
MOST_WAITING = 20_000
MOST_CHARACTERS = 200


class AuditLog(Protocol):
    async def append(self, entries: Sequence[AuditEntry]) -> None: ...


class Origin(Struct, frozen=True):
    """From where. client_address: as a gateway says it; whoever calls directly may say anything."""

    peer: str
    client_address: str = ""
    request_id: str = ""

    @classmethod
    def of(cls, peer: str, metadata: Sequence[tuple[str, str]]) -> Origin:
        said = dict(metadata)
        return cls(peer, said.get("x-client-address", ""), said.get("x-request-id", ""))


class Audit(Looping):
    def __init__(self, log: AuditLog, database_time: DatabaseTime) -> None:
        super().__init__(FLUSH_SECONDS)
        self._log = log
        self._database_time = database_time
        self._waiting: list[AuditEntry] = []
        self._lost = 0

    def begin(self, caller: Caller, method: str, target: str, origin: Origin) -> Deed:
        """What the current task is about to do: the first transaction that it commits tells of it."""
        deed = Deed(self._entry(caller, method, target, "OK", origin))
        set_deed(deed)
        return deed

    def record(self, caller: Caller, method: str, target: str, outcome: str, origin: Origin) -> None:
        """method: full name of the RPC."""
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(self._entry(caller, method, target, outcome, origin))
        if len(self._waiting) == BATCH:
            self.hint()

    def _entry(self, caller: Caller, method: str, target: str, outcome: str, origin: Origin) -> AuditEntry:
        return AuditEntry(
            namespace=caller.namespace,
            time=self._database_time.now(),
            subject=caller.subject,
            role=caller.role,
            action=method.rpartition("/")[2],
            target=storable(target),
            outcome=outcome,
            peer=storable(origin.peer),
            client_address=storable(origin.client_address),
            request_id=storable(origin.request_id),
        )

    async def turn(self) -> None:
        if self._lost:
            log.error("audit.lost", entries=self._lost)
            self._lost = 0
        while batch := self._waiting[:BATCH]:
            await self._log.append(batch)
            del self._waiting[: len(batch)]

    async def flush(self) -> None:
        """Write what waits, when the executor stops."""
        await self.stop()
        await self._turn()


def storable(text: str) -> str:
    """Without what a database or a terminal stumbles over."""
    if len(text) <= MOST_CHARACTERS and text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text[:MOST_CHARACTERS])


def target_of(request: Any, response: Any) -> str:
    """What a call was about: the id of what it answers with, or of what it asks for."""
    if response is not None:
        for name in shown(response.DESCRIPTOR):
            if response.HasField(name) and (id_ := getattr(response, name).id):
                return str(id_)
    for message in (request, response):
        if message is not None:
            for name in named(message.DESCRIPTOR):
                if value := getattr(message, name):
                    return str(value)
    return ""


@lru_cache(maxsize=512)
def shown(descriptor: Descriptor) -> tuple[str, ...]:
    """Fields that hold a thing with an id."""
    return tuple(
        field.name for field in descriptor.fields
        if field.message_type is not None and not field.is_repeated and has_id(field.message_type)
    )  # fmt: skip


def has_id(descriptor: Descriptor) -> bool:
    id_ = descriptor.fields_by_name.get("id")
    return id_ is not None and id_.type == FieldDescriptor.TYPE_STRING


@lru_cache(maxsize=512)
def named(descriptor: Descriptor) -> tuple[str, ...]:
    """Fields that hold an id or a name."""
    return tuple(
        field.name for field in descriptor.fields
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
        and (field.name.endswith("_id") or field.name in ("id", "name")) and field.name != "request_id"
    )  # fmt: skip
