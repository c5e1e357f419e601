"""A real Redis-compatible server that belongs to the test session."""

from __future__ import annotations

import os
import signal

import redis

from services.cli.embedded import EmbeddedValkey


class PrivateValkey(EmbeddedValkey):
    """The embedded server, to be killed at will; `await start()` brings it back under the same address."""

    def kill(self) -> None:
        """kill -9, and wait until it is gone. What was written before the last second is on disk."""
        process = self._process
        assert process, "the server was not started"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def flush(self) -> None:
        """Remove every key of every database."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
