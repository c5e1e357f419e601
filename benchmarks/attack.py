"""A normal run while the installation is under attack: how much slower, how much memory, and by whom?

A stack of real services with a token. A caller runs a small workflow again and again, in turns: quiet; while
others make 1,000 connections a second and reset them, keep 500 streams open that they never read, and 200
that send their headers a byte a second; each of these alone; and all of it against a control, a process that
accepts connections and does nothing else. Attackers are one process of raw sockets on the same cores, so what
they and the system's own part of a connection take is in the control's figure too.

p95 under attack must stay within twice its quiet figure, and gateway and executor together within 512 MiB
of what they were before. Beside that it tells the ratio to the control, the processor time of attackers, and
that of the services for each connection of an attacker.

python -m benchmarks.attack [seconds of each turn] [turns]
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import selectors
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.infra.stack import Stack
from tests.infra.valkey import PrivateValkey

TOKEN = "attacked-installation-0123456789abcdef"
NOOP = {"workflow": {"nodes": [{"id": "a", "type": "flow.noop"}]}, "mode": "immediate"}
ASKS = {"workflow": {"nodes": [{"id": "a", "type": "human.approval", "config": {"title": "?"}}]}}
RESETS_PER_SECOND = 1_000
STREAMS = 500
SLOW = 200
MOST_RATIO = 2.0
MOST_MORE_BYTES = 512 << 20
PAUSE_SECONDS = 0.05
TICK_SECONDS = 0.01
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LINGER = struct.pack("ii", 1, 0)
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

Address = tuple[str, int]
RESETS, UNREAD, DAWDLERS = "resets", "unread streams", "slow heads"
ALL = (RESETS, UNREAD, DAWDLERS)
TURNS: dict[str, tuple[str, ...]] = {
    "quiet": (),
    "control": ALL,
    RESETS: (RESETS,),
    UNREAD: (UNREAD,),
    DAWDLERS: (DAWDLERS,),
    "attack": ALL,
}


class Attackers:
    """All of them, a tick at a time. made: connections that they have opened, for whoever shares it."""

    def __init__(self, kinds: Sequence[str], http: Address, grpc: Address, path: str, made: Any) -> None:
        self._kinds = kinds
        self._doors = (http, grpc)
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        self._head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 10_000
        self._made = made
        self._unread: list[socket.socket] = []
        self._slow: list[tuple[socket.socket, int]] = []

    def attack(self) -> None:
        began, ticks = time.monotonic(), 0
        while True:
            if RESETS in self._kinds:
                for number in range(int(RESETS_PER_SECOND * TICK_SECONDS)):
                    self._reset(number)
            if UNREAD in self._kinds:
                self._watch()
            if DAWDLERS in self._kinds:
                self._dawdle(ticks)
            ticks += 1
            if (ahead := ticks * TICK_SECONDS - (time.monotonic() - began)) > 0:
                time.sleep(ahead)

    def _connect(self, address: Address) -> socket.socket | None:
        try:
            connection = socket.create_connection(address, timeout=1)
        except OSError:
            return None
        self._made.value += 1
        return connection

    def _reset(self, number: int) -> None:
        """Both doors by turns; half of the connections say something first."""
        connection = self._connect(self._doors[number % 2])
        if connection is None:
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        if number % 4 < 2:
            connection.send(PREFACE if number % 2 else b"GET / HT")
        connection.close()

    def _watch(self) -> None:
        for _ in range(min(5, STREAMS - len(self._unread))):
            if connection := self._connect(self._doors[0]):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.sendall(self._request)
                self._unread.append(connection)

    def _dawdle(self, ticks: int) -> None:
        """Each sends a byte a second; whoever is thrown out comes back."""
        for _ in range(min(2, SLOW - len(self._slow))):
            if connection := self._connect(self._doors[0]):
                self._slow.append((connection, 0))
        turn = ticks % round(1 / TICK_SECONDS)
        for index in range(turn, len(self._slow), round(1 / TICK_SECONDS)):
            connection, sent = self._slow[index]
            try:
                connection.send(self._head[sent : sent + 1])
                self._slow[index] = connection, sent + 1
            except OSError:
                connection.close()
                if again := self._connect(self._doors[0]):
                    self._slow[index] = again, 0


def accept_only(doors: Sequence[socket.socket]) -> None:
    """The control: what any server must do, and nothing else."""
    selector = selectors.DefaultSelector()
    for door in doors:
        selector.register(door, selectors.EVENT_READ, door)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                try:
                    over = not key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                except OSError:
                    over = True
                if over:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                continue
            connection, _ = key.data.accept()
            selector.register(connection, selectors.EVENT_READ, None)


@contextmanager
def under_attack(
    kinds: Sequence[str], http: Address, grpc: Address, path: str
) -> Iterator[tuple[Any, multiprocessing.Process | None]]:
    """(connections made so far, the attackers' process)."""
    made = multiprocessing.Value("q", 0, lock=False)
    if not kinds:
        yield made, None
        return
    attackers = Attackers(kinds, http, grpc, path, made)
    process = multiprocessing.Process(target=attackers.attack, daemon=True)
    process.start()
    try:
        yield made, process
    finally:
        process.kill()
        process.join()


@dataclass
class Turn:
    """What was measured in all turns of a kind. Seconds, of processor time but `lasted`."""

    milliseconds: list[float] = field(default_factory=list)
    lasted: float = 0.0
    services: float = 0.0
    attackers: float = 0.0
    connections: int = 0

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.milliseconds, n=20)[-1]

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)


def runs(client: httpx.Client, seconds: float) -> list[float]:
    """Milliseconds that each run took, one after another with a pause."""
    taken, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        answer = client.post("/api/workflow/run", json=NOOP)
        taken.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, answer.text
        time.sleep(PAUSE_SECONDS)
    return taken


def cpu_seconds(pids: Sequence[int]) -> float:
    told = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(words[11]) + int(words[12]) for words in told) / CLOCK_TICKS


def resident_bytes(pids: Sequence[int]) -> int:
    page = resource.getpagesize()
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids)


def measure(stack: Stack, seconds: float, turns: int) -> tuple[dict[str, Turn], int]:
    """By kind of turn, and how many bytes larger the services were than before, at most."""
    host, _, port = stack.base_url.removeprefix("http://").partition(":")
    doors = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(2)]
    control = multiprocessing.Process(target=accept_only, args=(doors,), daemon=True)
    control.start()
    found = {name: Turn() for name in TURNS}
    services, more = [stack.gateway.pid, stack.executor.pid], 0
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=stack.base_url, headers=headers, timeout=60) as client:
        runs(client, seconds / 2)
        waiting = client.post("/api/workflow/run", json=ASKS).json()["executionId"]
        path = f"/api/workflow/execution/{waiting}/stream"
        before = resident_bytes(services)
        for _ in range(turns):
            for name, kinds in TURNS.items():
                real = ((host, int(port)), ("127.0.0.1", stack.executor_port))
                http, grpc = real if name != "control" else [door.getsockname() for door in doors]
                with under_attack(kinds, http, grpc, path) as (made, process):
                    runs(client, 1.5)  # until all of them are there
                    pids = [process.pid] if process and process.pid else []
                    turn, began = found[name], time.monotonic()
                    at_first = cpu_seconds(services), cpu_seconds(pids), made.value
                    turn.milliseconds += runs(client, seconds)
                    turn.lasted += time.monotonic() - began
                    turn.services += cpu_seconds(services) - at_first[0]
                    turn.attackers += cpu_seconds(pids) - at_first[1]
                    turn.connections += made.value - at_first[2]
                    more = max(more, resident_bytes(services) - before)
    control.kill()
    control.join()
    return found, more


def table(found: dict[str, Turn]) -> str:
    quiet = found["quiet"]
    a_run = quiet.services / len(quiet.milliseconds)
    lines = [
        f"{'':16}{'p95':>9}{'median':>9}{'attackers':>11}{'services':>10}{'connections':>13}{'for each':>11}"
    ]
    for name, turn in found.items():
        theirs = turn.services - a_run * len(turn.milliseconds)
        each = f"{theirs / turn.connections * 1e6:.0f} us" if turn.connections and name != "control" else ""
        lines.append(
            f"{name:16}{turn.p95:6.1f} ms{turn.median:6.1f} ms{turn.attackers / turn.lasted:10.0%} "
            f"{turn.services / turn.lasted:9.0%}{turn.connections / turn.lasted:11.0f}/s{each:>11}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] = ()) -> int:
    seconds = float(arguments[0]) if arguments else 8.0
    turns = int(arguments[1]) if len(arguments) > 1 else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        valkey = PrivateValkey(folder / "valkey")
        asyncio.run(valkey.start())
        stack = Stack(
            folder, f"sqlite:///{folder / 'flow.db'}", valkey.url, FLOW_AUTH="required", FLOW_TOKEN=TOKEN
        )
        try:
            stack.executor.start()
            stack.gateway.start()
            found, more = measure(stack, seconds, turns)
        finally:
            stack.stop()
            asyncio.run(valkey.stop())
    print(table(found))
    quiet, control, attack = (found[name].p95 for name in ("quiet", "control", "attack"))
    print(f"ratio: {attack / quiet:.2f} to quiet (at most {MOST_RATIO}), {attack / control:.2f} to control")
    print(f"memory: {more / (1 << 20):+.0f} MiB (at most {MOST_MORE_BYTES >> 20})")
    return int(attack / quiet > MOST_RATIO or more > MOST_MORE_BYTES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
