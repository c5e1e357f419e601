"""Who makes the call that is being answered.

The interceptor sets it for each RPC; servicers read it and hand the namespace on as an argument. Nothing
below them asks for it: background work has no caller, and what has none belongs to nobody by accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from flow_engine.ids import DEFAULT_NAMESPACE, content_hash


@dataclass(frozen=True, slots=True)
class Caller:
    """subject: names one credential or person; the audit log shows it. role: of the table of roles."""

    subject: str
    namespace: str
    role: str

    @property
    def operates_all(self) -> bool:
        """Whether it operates the whole installation: an administrator of the namespace default."""
        return self.role == "admin" and self.namespace == DEFAULT_NAMESPACE

    def owner(self, worker_id: str) -> str:
        """What a worker's leases are held by: nobody with another credential holds them, whatever it says."""
        if self == LOCAL:
            return worker_id
        return f"{worker_id}@{content_hash(f'{self.namespace} {self.subject}'.encode())[:16]}"


LOCAL = Caller("local", DEFAULT_NAMESPACE, "admin")
"""Whoever calls an executor without authentication."""

_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Raises LookupError outside of a call."""
    return _caller.get()


def current_namespace() -> str:
    return _caller.get().namespace


def set_caller(caller: Caller) -> None:
    """For the rest of this task, and for the tasks that it starts."""
    _caller.set(caller)


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Calls as if this caller made them."""
    before = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(before)
