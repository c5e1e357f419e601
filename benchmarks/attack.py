"""A normal run while the installation is under attack: how much slower, and how much memory?

A stack of real services with a token. Quiet, a caller runs a small workflow again and again; then the same
while others make 1,000 connections a second and reset them, keep 500 streams open that they never read,
and 200 that send their headers a byte a second. p95 must stay within twice its quiet figure, and gateway and
executor together within 512 MiB more than before. Attackers are processes of their own, on the same cores:
what they take of those is part of the figure.

python -m benchmarks.attack [seconds]
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Address = tuple[str, int]


def reset(http: Address, grpc: Address) -> None:
    """Connections to both doors that end with RST right away, half of them after some bytes."""
    began, made = time.monotonic(), 0
    while True:
        for address in (http, grpc):
            try:
                with socket.create_connection(address, timeout=1) as connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if made % 4 < 2:
                        connection.send(
                            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if address == grpc else b"GET / HT"
                        )
            except OSError:
                pass
            made += 1
        if (ahead := made / RESETS_PER_SECOND - (time.monotonic() - began)) > 0:
            time.sleep(ahead)


def never_read(http: Address, path: str) -> None:
    """Streams that are open and not read; one that is cut off is opened again."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    held: list[socket.socket] = []
    while True:
        while len(held) < STREAMS:
            try:
                held.append(socket.create_connection(http, timeout=1))
                held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                held[-1].sendall(request)
            except OSError:
                break
        time.sleep(0.2)


def dawdle(http: Address) -> None:
    """Heads that come a byte a second; whoever is thrown out comes back."""
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 10_000
    held: list[tuple[socket.socket, int]] = []
    while True:
        while len(held) < SLOW:
            try:
                held.append((socket.create_connection(http, timeout=1), 0))
            except OSError:
                break
        still = []
        for connection, sent in held:
            try:
                connection.send(head[sent : sent + 1])
                still.append((connection, sent + 1))
            except OSError:
                connection.close()
        held = still
        time.sleep(1)


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


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def resident_bytes(pids: Sequence[int]) -> int:
    page = resource.getpagesize()
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids)


def attacks(stack: Stack, client: httpx.Client) -> list[multiprocessing.Process]:
    host, _, port = stack.base_url.removeprefix("http://").partition(":")
    http, grpc = (host, int(port)), ("127.0.0.1", stack.executor_port)
    waiting = client.post("/api/workflow/run", json=ASKS).json()["executionId"]
    chosen: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (reset, (http, grpc)),
        (never_read, (http, f"/api/workflow/execution/{waiting}/stream")),
        (dawdle, (http,)),
    ]
    return [multiprocessing.Process(target=work, args=given, daemon=True) for work, given in chosen]


def measure(stack: Stack, seconds: float) -> tuple[float, float, int]:
    """(p95 quiet, p95 under attack, bytes more)."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=stack.base_url, headers=headers, timeout=60) as client:
        runs(client, seconds / 4)
        quiet = runs(client, seconds)
        pids = [stack.gateway.pid, stack.executor.pid]
        before = resident_bytes(pids)
        under_way = attacks(stack, client)
        for attack in under_way:
            attack.start()
        try:
            runs(client, seconds / 4)
            attacked = runs(client, seconds)
            more = resident_bytes(pids) - before
        finally:
            for attack in under_way:
                attack.kill()
                attack.join()
    return p95(quiet), p95(attacked), more


def main(arguments: Sequence[str] = ()) -> int:
    seconds = float(arguments[0]) if arguments else 20.0
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
            quiet, attacked, more = measure(stack, seconds)
        finally:
            stack.stop()
            asyncio.run(valkey.stop())
    ratio = attacked / quiet
    print(f"p95 of a run: quiet {quiet:.1f} ms, under attack {attacked:.1f} ms")
    print(f"ratio: {ratio:.2f} (at most {MOST_RATIO})")
    print(f"memory: {more / (1 << 20):+.0f} MiB (at most {MOST_MORE_BYTES >> 20})")
    return int(ratio > MOST_RATIO or more > MOST_MORE_BYTES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
