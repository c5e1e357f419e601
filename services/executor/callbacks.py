"""Gives runs the keys to their callback URLs, and reads the tokens that come back."""

from __future__ import annotations

from flow_engine import callbacks
from flow_engine.callbacks import Callbacks, Claimed
from flow_engine.errors import CallbackNotFound
from flow_engine.ids import DEFAULT_NAMESPACE
from services.executor.persistence.contract import ExecutionPersistence

NAME = "callbacks"


class CallbackKeys:
    """prefix: what each URL begins with. secret: empty takes the one that is kept in the database."""

    def __init__(self, persistence: ExecutionPersistence, prefix: str, secret: str) -> None:
        self._persistence = persistence
        self._prefix = prefix
        self._secret = secret.encode()

    async def start(self) -> None:
        """Raises Unavailable."""
        self._secret = self._secret or await self._persistence.secret(NAME, DEFAULT_NAMESPACE)

    def of(self, execution_id: str) -> Callbacks:
        return Callbacks(self._prefix, execution_id, callbacks.execution_key(self._secret, execution_id))

    def read(self, token: str) -> Claimed:
        """Which step it answers. Raises CallbackNotFound for a token that we did not make."""
        claimed = callbacks.read(token)
        if claimed is None or not claimed.proven(self.of(claimed.execution_id).key):
            raise CallbackNotFound
        return claimed
