"""Starts the process that runs foreign code, bounds its time and output, and reads what it says.

What it says is as foreign as the code: nothing in it is believed before it was looked at.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flow_engine.payload import JsonValue, encode

SCRIPT = Path(__file__).with_name("inside.py")
MAX_OUTPUT_BYTES = 1 << 20
ENVELOPE_BYTES = 4096
READ_BYTES = 1 << 16
LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the code may use. Wall time is the caller's to bound, by cancelling."""

    memory_bytes: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True)
class Returned:
    """What the code's `main` gave."""

    output: JsonValue


@dataclass(frozen=True, slots=True)
class Stopped:
    """It gave nothing. kind: raised, memory, killed, flooded, notConfined."""

    kind: str
    message: str
    line: int | None = None


class _Failure(msgspec.Struct):
    kind: str
    message: str
    line: int | None = None


class _Answer(msgspec.Struct):
    output: JsonValue = None
    failure: _Failure | None = None


async def run_python(code: str, value: JsonValue, bounds: Bounds) -> Returned | Stopped:
    """Runs `main(value)` of the code. Cancelled, or when all is said, its process is killed."""
    if sys.platform != "linux":
        return Stopped("notConfined", "code is confined on Linux only")
    limits = {"memoryBytes": bounds.memory_bytes, "cpuSeconds": bounds.cpu_seconds}
    # Not by the event loop: uvloop forks with gRPC's handlers. From this thread: the child is tied to it.
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
    )
    telling = asyncio.ensure_future(_tell(process, encode({"code": code, "input": value, **limits})))
    try:
        said = await _hear(process)
        if said is not None:
            await asyncio.to_thread(process.wait)
    finally:
        telling.cancel()
        process.kill()
        await asyncio.shield(asyncio.to_thread(process.wait))
    return _judged(said, process.returncode)


async def _tell(process: subprocess.Popen[bytes], text: bytes) -> None:
    pipe, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, process.stdin)
    pipe.write(text)
    pipe.close()  # once all is written


async def _hear(process: subprocess.Popen[bytes]) -> bytes | None:
    """All that it says; None when it says too much."""
    said, reader = bytearray(), asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    try:
        while part := await reader.read(READ_BYTES):
            said += part
            if len(said) > MAX_OUTPUT_BYTES + ENVELOPE_BYTES:
                return None
    finally:
        pipe.close()
    return bytes(said)


def _judged(said: bytes | None, status: int) -> Returned | Stopped:
    if said is None:
        return Stopped("flooded", f"the output has more than {MAX_OUTPUT_BYTES:,} bytes")
    try:
        answer = msgspec.json.decode(said, type=_Answer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _killed(status)
    if answer.failure is not None:
        failure = answer.failure
        return Stopped(failure.kind, failure.message[:LONGEST_MESSAGE], failure.line)
    return Returned(answer.output)


def _killed(status: int) -> Stopped:
    if status == -signal.SIGXCPU or status == -signal.SIGKILL:
        return Stopped("killed", "the code used more processor time than it may, or was killed")
    return Stopped("killed", f"its process ended without an answer (status {status})")
