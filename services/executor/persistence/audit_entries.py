"""Entries of the audit log, and how one goes along with the change that it tells of.

A call that changes something has a deed. The first transaction that commits for it writes the deed's entry
too, so that neither is there without the other. A call that committed nothing is told of afterwards, by
whoever refused it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from datetime import datetime

import msgspec
from msgspec import Struct

from flow_engine.ids import new_execution_id
from services.executor.persistence.tables import audit_log, names_of
from services.executor.persistence.transaction import Transaction


class AuditEntry(Struct, frozen=True):
    """Who did what to which, when, from where. outcome: OK, or the reason of a refusal."""

    namespace: str
    time: datetime
    subject: str
    role: str
    action: str
    target: str
    outcome: str
    peer: str
    client_address: str = ""
    request_id: str = ""
    id: str = msgspec.field(default_factory=new_execution_id)  # sorts by time; a repeated write adds nothing


class Deed:
    """What the present call does. told: it is in the log, by a transaction or otherwise."""

    def __init__(self, entry: AuditEntry) -> None:
        self.entry = entry
        self.told = False

    def tell(self) -> None:
        self.told = True


_deed: ContextVar[Deed | None] = ContextVar("deed", default=None)


def set_deed(deed: Deed) -> None:
    """For the rest of this task, and for the tasks that it starts."""
    _deed.set(deed)


def present_deed() -> Deed | None:
    """The one that is not told yet."""
    deed = _deed.get()
    return None if deed is None or deed.told else deed


def about(target: str) -> None:
    """The present deed turns out to be about this, which the call itself did not know."""
    if (deed := present_deed()) is not None:
        deed.entry = msgspec.structs.replace(deed.entry, target=target)


async def insert_deeds(transaction: Transaction, deeds: Iterable[Deed]) -> None:
    """In the same statement as the changes, where the database can."""
    untold = [deed for deed in deeds if not deed.told]
    await insert_entries(transaction, [deed.entry for deed in untold])
    transaction.after_commit += [deed.tell for deed in untold]


async def insert_entries(transaction: Transaction, entries: Iterable[AuditEntry]) -> None:
    rows = [
        (
            *(entry.id, entry.namespace, entry.time, entry.subject, entry.role),
            *(entry.action, entry.target, entry.outcome, entry.peer, entry.client_address, entry.request_id),
        )
        for entry in entries
    ]
    await transaction.insert(audit_log, names_of(audit_log), rows, "ON CONFLICT DO NOTHING")
