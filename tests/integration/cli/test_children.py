"""Supervision, with small programs in the place of services."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.cli.errors import BadConfiguration, ExitCode
from services.cli.settings import Address
from services.cli.stack import children, crew
from services.cli.stack.children import Service, ServiceFailed
from services.cli.stack.folder import held
from services.cli.stack.up import refuse_taken
from tests.infra.processes import ended

SERVES = "import signal, os; print('ready', os.getpid(), flush=True); signal.pause()"
DIES = "import sys; print('it hurts', file=sys.stderr); sys.exit(3)"
MISCONFIGURED = "import sys; print('FLOW_X: is wrong', file=sys.stderr); sys.exit(78)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVES}"

Start = Callable[..., Service]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts services that are gone after the test."""
    services: list[Service] = []
    tasks: list[asyncio.Task[None]] = []

    def started(program: str, **environment: str) -> Service:
        service = Service(
            "it",
            [sys.executable, "-c", program],
            lambda: {**os.environ, **environment},
            tmp_path / "logs" / "it.log",
            lambda line: None,
        )
        services.append(service)
        tasks.append(asyncio.create_task(service.keep_running()))
        service.kept = tasks[-1]  # type: ignore[attr-defined]
        return service

    yield started
    for service in services:
        service.kill()
    await asyncio.gather(*tasks, return_exceptions=True)


def kept(service: Service) -> asyncio.Task[None]:
    task: asyncio.Task[None] = service.kept  # type: ignore[attr-defined]
    return task


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "BACKOFF_SECONDS", (0.01,))


async def test_what_a_service_says_when_it_is_ready_is_its_address(start: Start) -> None:
    service = start(SERVES)
    await service.ready.wait()

    assert service.address == str(service.pid)


async def test_a_service_that_is_killed_comes_back(start: Start) -> None:
    service = start(SERVES)
    await service.ready.wait()
    first = service.address

    os.kill(int(first), signal.SIGKILL)
    while service.address == first:  # noqa: ASYNC110 - until its successor has spoken
        await asyncio.sleep(0)

    assert ended(int(first))
    assert service.address != first


async def test_repeated_quick_deaths_end_with_the_last_words(start: Start) -> None:
    with pytest.raises(ServiceFailed) as failure:
        await kept(start(DIES))

    assert "it ended 5 times" in failure.value.message
    assert "exit code 3" in failure.value.message
    assert failure.value.lines[-1] == "it hurts"
    assert failure.value.exit_code == ExitCode.FAILED


async def test_a_wrong_configuration_ends_at_once(start: Start) -> None:
    with pytest.raises(ServiceFailed) as failure:
        await kept(start(MISCONFIGURED))

    assert failure.value.lines == ("FLOW_X: is wrong",)
    assert failure.value.exit_code == ExitCode.CONFIGURATION


async def test_a_restart_is_graceful_and_no_death(start: Start) -> None:
    service = start(SERVES)
    for _ in range(children.MOST_QUICK_DEATHS + 1):
        await service.ready.wait()
        before = service.address
        service.ready.clear()
        service.restart()
        await service.ready.wait()
        assert service.address != before


async def test_a_change_of_the_code_restarts_the_crew(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([{Path("a.py"): 1.0}, {Path("a.py"): 1.0}, {Path("a.py"): 2.0}])
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0)
    monkeypatch.setattr(crew, "source_times", lambda: next(times, {Path("a.py"): 2.0}))
    service = start(SERVES)
    await service.ready.wait()
    first = service.address
    service.ready.clear()

    watching = asyncio.create_task(crew.reload_on_change([service]))
    await service.ready.wait()
    watching.cancel()

    assert service.address != first


def test_the_sources_of_all_packages_are_watched() -> None:
    assert Path(children.__file__) in crew.source_times()


async def test_stopping_is_graceful_and_then_not(start: Start) -> None:
    service = start(STUBBORN)
    await service.ready.wait()
    pid = int(service.address)

    await service.stop(grace_seconds=0.1)

    assert ended(pid)
    await kept(service)


async def test_stopping_twice_or_before_the_start_is_harmless(start: Start) -> None:
    service = start(SERVES)
    await service.stop(1)
    await service.stop(1)
    await kept(service)

    assert service.pid is None


def test_children_go_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, sys
from pathlib import Path
from services.cli.stack.children import Service
async def main():
    command = [sys.executable, "-c", {SERVES!r}]
    child = Service("it", command, lambda: os.environ, Path({str(tmp_path / "log")!r}), print)
    keeping = asyncio.create_task(child.keep_running())
    await child.ready.wait()
    print(child.address, flush=True)
    await keeping
asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())

    parent.kill()
    parent.wait()

    assert ended(child)


def test_a_data_folder_has_one_stack_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.stack.folder.PATIENCE_SECONDS", 0.0)
    with held(tmp_path), pytest.raises(BadConfiguration, match=f"process {os.getpid()}"), held(tmp_path):
        pytest.fail("two hold it")
    with held(tmp_path):
        pass


def test_a_child_that_outlives_its_stack_holds_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cli.stack.folder.PATIENCE_SECONDS", 0.0)
    with held(tmp_path) as lock:
        child = subprocess.Popen([sys.executable, "-c", SERVES], pass_fds=[lock], stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
    try:
        with pytest.raises(BadConfiguration), held(tmp_path):
            pytest.fail("it is held")
    finally:
        child.kill()
        child.communicate()
    with held(tmp_path):
        pass


def test_a_taken_port_is_told_with_the_option_that_changes_it(unused_tcp_port: int) -> None:
    with (
        contextlib.closing(socket.create_server(("127.0.0.1", unused_tcp_port))),
        pytest.raises(BadConfiguration, match="in use; choose another port with --http"),
    ):
        refuse_taken(Address("127.0.0.1", unused_tcp_port), "--http")
    refuse_taken(Address("127.0.0.1", 0), "--http")
