"""Clients of streams that never read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ClassVar

import httpx

from tests.chaos.cases import Case, completed, some_case
from tests.chaos.fault import Fault, Round, Void
from tests.chaos.load import Shape
from tests.chaos.oracle import Stream
from tests.chaos.records import Frame
from tests.chaos.stage import LONG_LEASES
from tests.chaos.watching import frames_of

ITEMS = 1_500
TEXT_BYTES = 2_500
CLIENTS = (8, 40)
STALL_SECONDS = 2.0
ESTABLISHED = "01"
"""In /proc/net/tcp."""
GROWTH_BYTES = 200 << 20
"""Of the gateway's memory: 256 events for each client, what the transport holds, and some air."""


def long_history(chance: Random, witness_url: str, path: str) -> Case:
    """Several megabytes of events: more than sockets hold."""
    workflow = {
        "id": "long-history",
        "nodes": [
            {"id": "each", "type": "logic.foreach", "config": {"items": "${ input.items }"}},
            {
                "id": "text",
                "type": "data.set",
                "parentId": "each",
                "config": {"values": {"text": "${ input.text }"}},
            },
            {"id": "end", "type": "data.set", "parentId": "each", "config": {"values": {"n": "${ item }"}}},
        ],
        "edges": [{"source": "text", "target": "end"}],
        "output": "${ size(nodes.each.output) }",
    }
    steps = {(name, (index,)): "completed" for name in ("text", "end") for index in range(ITEMS)}
    outcomes = completed("each") | steps
    given = {"items": list(range(ITEMS)), "text": "x" * TEXT_BYTES}
    return Case("long-history", workflow, given, outcomes, output=ITEMS, mode="queued")


class StreamNeverRead(Fault):
    name = "stream-never-read"
    summary = "clients that open a stream of megabytes, read a little and then nothing: cut off, may resume"
    settings: ClassVar = {**LONG_LEASES, "FLOW_STREAM_STALL_SECONDS": f"{STALL_SECONDS:g}"}
    repeats_allowed = False
    refusals_allowed = False
    seconds = (8.0, 20.0)

    def shape(self, count: int, short: bool) -> Shape:
        def make(chance: Random, witness_url: str, path: str) -> Case:
            return (long_history if path.endswith("/0") else some_case)(chance, witness_url, path)

        return Shape(count, self.seconds[0 if short else 1], watched=0.5, case=make)

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        execution_id = await self._long_one(round_)
        before = resident_bytes(stage.gateway.pid)
        path = f"/api/workflow/execution/{execution_id}/stream"
        clients = [
            SilentClient(stage.http_port, path, round_.chance.randint(0, 40))
            for _ in range(CLIENTS[0 if round_.short else 1])
        ]
        for client in clients:
            await asyncio.to_thread(client.open)
        round_.say(f"{len(clients)} clients stopped reading")
        peak, deadline = before, time.monotonic() + STALL_SECONDS + 30
        while time.monotonic() < deadline and not all(client.cut_off for client in clients):
            peak = max(peak, resident_bytes(stage.gateway.pid))
            await asyncio.sleep(0.1)
        round_.remarks.append(f"the gateway grew by {(peak - before) >> 20} MiB for {len(clients)} clients")
        if peak - before > GROWTH_BYTES:
            round_.violated("history", f"the gateway grew by {(peak - before) >> 20} MiB")
        if left := sum(not client.cut_off for client in clients):
            round_.violated("gap", f"{left} clients that read nothing were never cut off", execution_id)
        await self._resume(round_, execution_id, clients)

    async def _long_one(self, round_: Round) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for start in round_.load.acknowledged:
                if start.case.kind == "long-history":
                    return start.execution_id
            await asyncio.sleep(0.05)
        raise Void("the long history was never acknowledged")

    async def _resume(self, round_: Round, execution_id: str, clients: list[SilentClient]) -> None:
        """What they missed, from the id that they saw last."""
        async with httpx.AsyncClient(base_url=round_.stage.base_url, timeout=60) as http:
            for client in clients[:8]:
                client.close()
                frames = list(client.frames)
                while True:
                    last = frames[-1]["sequence"] if frames else 0
                    headers = {"Last-Event-ID": str(last)} if last else {}
                    async with http.stream("GET", client.path, headers=headers) as response:
                        if response.status_code == 204:
                            break
                        async for frame in frames_of(response):
                            frames.append(frame)
                round_.streams.append(Stream(execution_id, frames, ended=True))
        for client in clients:
            client.close()


@dataclass(slots=True)
class SilentClient:
    """A raw client: reads so many frames, then nothing, with as small a buffer as can be."""

    port: int
    path: str
    wanted: int
    frames: list[Frame] = field(default_factory=list)
    _socket: socket.socket | None = None

    def open(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(30)
        self._socket.connect(("127.0.0.1", self.port))
        request = (
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAccept: text/event-stream\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        text = b""
        while len(self._complete(text)) < self.wanted:
            data = self._socket.recv(2048)
            if not data:
                break
            text += data
        self.frames = self._complete(text)[: self.wanted]

    @property
    def cut_off(self) -> bool:
        """Whether the other side has dropped the connection: its end is not there any more.

        Ours knows nothing of it while there is no room for what comes before the end.
        """
        assert self._socket is not None
        return (self.port, self._socket.getsockname()[1]) not in established()

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()

    @staticmethod
    def _complete(text: bytes) -> list[Frame]:
        """The frames of an answer so far. Chunks may divide frames anywhere: their framing is taken out."""
        _, _, rest = text.partition(b"\r\n\r\n")
        body = b""
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body, rest = body + rest[:length], rest[length + 2 :]
        lines = body.decode(errors="replace").split("\n\n")[:-1]
        data = [line.partition("data: ")[2] for line in lines]
        return [json.loads(each) for each in data if each]


def established() -> set[tuple[int, int]]:
    """(local port, remote port) of every end of an open TCP connection on this machine."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == ESTABLISHED:
            found.add((int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16)))
    return found


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


FAULTS: tuple[Fault, ...] = (StreamNeverRead(),)
