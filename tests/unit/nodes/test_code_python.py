"""code.python: what honest code gets, and what hostile code does not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flow_engine.nodes.contract import Failed, NodeServices
from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.validation import validate_workflow
from tests.unit.nodes.contexts import completed, config, failed


def main(*lines: str) -> str:
    return "\n".join(["def main(input):", *(f"    {line}" for line in lines)])


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


async def output(code: str, value: Any = None, **limits: Any) -> Any:
    return (await completed("code.python", {"code": code, "input": value, **limits})).output


async def failure(code: str, value: Any = None, **limits: Any) -> Failed:
    return await failed("code.python", {"code": code, "input": value, **limits})


async def test_json_goes_in_and_comes_out_with_every_number_as_it_was() -> None:
    value = {"n": 2**53 + 1, "f": 0.1, "text": "ä\0☃", "none": None, "list": [True, []]}
    assert await output(main("return input"), value) == value


async def test_the_standard_library_is_there_and_nothing_else() -> None:
    code = "import decimal, re, zoneinfo, random, hashlib, csv, statistics, datetime\n" + main(
        "random.random()",
        "return str(datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')))",
    )
    assert await output(code) == "2026-07-01 00:00:00+02:00"
    missing = (await failure("import pydantic\n" + main("return 1"))).failure
    assert missing.message.startswith("ModuleNotFoundError")


async def test_what_it_raises_is_told_with_its_line() -> None:
    told = (await failure(main("x = 1", "return {}['no such key']"))).failure
    assert (told.code, told.message, told.details) == ("CODE_FAILED", "KeyError: 'no such key'", {"line": 3})
    assert not told.retryable


@pytest.mark.parametrize("value", ["float('nan')", "{1, 2}", "main", "b'x'"])
async def test_what_is_no_json_is_no_output(value: str) -> None:
    assert (await failure(main(f"return {value}"))).failure.code == "CODE_FAILED"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def main(input) return 1", "is no Python"),
        ("x = 1", "must define a function"),
        ("def main(input):\n    return ${ input.x }", "without expressions"),
        (7, "must be Python text"),
    ],
)
def test_what_is_no_code_is_refused_with_the_definition(code: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        config("code.python", {"code": code})


HOSTILE = {
    "the environment": ("import os", "return dict(os.environ)", {"LC_CTYPE": "C.UTF-8"}),
    "a socket": ("import socket", "return socket.socket().fileno()", PermissionError),
    "a connection": ("import socket", "return socket.create_connection(('127.0.0.1', 80))", PermissionError),
    "a name": ("import socket", "return socket.gethostbyname('localhost')", OSError),
    "a socket by way of C": ("import ctypes", "return ctypes.CDLL(None).socket(2, 1, 0)", -1),
    "a fork": ("import os", "return os.fork()", PermissionError),
    "a fork by way of C": ("import ctypes", "return ctypes.CDLL(None).fork()", -1),
    "a thread": ("import threading", "threading.Thread(target=print).start()", RuntimeError),
    "a program": ("import os", "os.execv('/bin/sh', ['sh'])", PermissionError),
    "a child program": ("import subprocess", "subprocess.run(['/bin/true'])", PermissionError),
    "a signal": ("import os", "os.kill(os.getppid(), 0)", PermissionError),
    "a file of the system": ("", "return open('/etc/passwd').read()", PermissionError),
    "its worker": ("import os", "return open(f'/proc/{os.getppid()}/environ').read()", PermissionError),
    "its own environment": ("", "return open('/proc/self/environ').read()", PermissionError),
    "a folder": ("import os", "return os.listdir('/')", PermissionError),
    "a new file": ("import os", "return open(f'/tmp/{os.getpid()}.new', 'w')", OSError),
    "more rights": ("import resource", "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", Exception),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_code_does_not_get(what: str) -> None:
    before, attempt, expected = HOSTILE[what]
    code = f"{before}\n{main(attempt)}"
    if not isinstance(expected, type):
        assert await output(code) == expected
        return
    told = (await failure(code)).failure
    assert told.code == "CODE_FAILED"
    names = ["PermissionError", *(kind.__name__ for kind in (expected, OSError, ValueError)), "gaierror"]
    assert told.message.partition(":")[0] in names


async def test_a_fork_bomb_makes_no_process() -> None:
    bomb = main(
        "import os",
        "made = 0",
        "for _ in range(1000):",
        "    try:",
        "        os.fork()",
        "        made += 1",
        "    except OSError:",
        "        pass",
        "return made",
    )
    assert await output(bomb) == 0


async def test_memory_ends_at_its_limit() -> None:
    told = (await failure(main("return len('x' * (1 << 30))"), memoryMb=64)).failure
    assert told.code == "CODE_LIMIT"
    hoarding = main("kept = []", "while True:", "    kept.append(bytearray(1 << 20))")
    assert (await failure(hoarding, memoryMb=64)).failure.code == "CODE_LIMIT"


async def test_an_endless_loop_ends_with_its_processor_time() -> None:
    catching = main("while True:", "    try:", "        pass", "    except BaseException:", "        pass")
    told = (await failure(catching, cpuSeconds=1)).failure
    assert told.code == "CODE_LIMIT"
    assert "processor time" in told.message


async def test_a_flood_of_output_is_cut_off() -> None:
    assert (await failure(main("return 'x' * (3 << 20)"))).failure.code == "CODE_LIMIT"
    flood = main(
        "import os",
        "for fd in range(3, 32):",
        "    try:",
        "        while True: os.write(fd, b'x' * 65536)",
        "    except OSError:",
        "        pass",
    )
    assert (await failure(flood, cpuSeconds=2)).failure.code == "CODE_LIMIT"


@pytest.mark.parametrize(
    "said", ["{", "[1]", '{"failure": 1}', '{"failure": {"kind": "strange", "message": "me"}}', "\\xff\\xfe"]
)
async def test_what_code_says_in_the_name_of_its_process_is_not_believed(said: str) -> None:
    forged = main(
        "import os",
        "for fd in range(3, 32):",
        "    try:",
        f"        os.write(fd, b'{said}')",
        "    except OSError:",
        "        pass",
        "os._exit(0)",
    )
    assert (await failure(forged)).failure.code in ("CODE_LIMIT", "CODE_FAILED")


async def test_code_that_is_cancelled_is_killed() -> None:
    before = children()
    sleeping = asyncio.ensure_future(output("import time\n" + main("time.sleep(600)")))
    await asyncio.sleep(0)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert children() == before


async def test_it_is_off_unless_the_operator_turns_it_on() -> None:
    off = await failed("code.python", {"code": main("return 1")}, services=NodeServices())
    assert off.failure.code == "CODE_PYTHON_OFF"
    assert "FLOW_CODE_PYTHON=1" in off.failure.message
    registry = built_in_registry()
    definition = {"nodes": [{"id": "a", "type": "code.python", "config": {"code": main("return 1")}}]}
    assert validate_workflow(definition, registry) == []
    registry.turn_off("FLOW_CODE_PYTHON")
    (problem,) = validate_workflow(definition, registry)
    assert (problem.path, problem.code) == ("/nodes/0/type", "TYPE_TURNED_OFF")
    assert "FLOW_CODE_PYTHON=1" in problem.hint
    assert "code.python" not in registry.usable("FLOW_CODE_PYTHON")
    assert "code.python" in registry.usable()
