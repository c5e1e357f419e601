"""The server that `flow up` brings along: private, durable, and gone with its owner."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis.asyncio as redis
from redis.exceptions import AuthenticationError

from services.cli import embedded
from services.cli.embedded import DataFolderInUse, EmbeddedServerError, EmbeddedValkey
from tests.infra.processes import ended

OWNER = """
import asyncio, sys
from pathlib import Path
from services.cli.embedded import EmbeddedValkey

async def main() -> None:
    server = EmbeddedValkey(Path(sys.argv[1]))
    url = await server.start()
    print(server.pid, url, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def command_line(pid: int) -> str:
    shown = Path(f"/proc/{pid}/cmdline")
    if shown.exists():
        return shown.read_text()
    return subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout


async def test_it_answers_at_the_address_it_gives_and_publishes(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    url = await server.start()
    try:
        assert url.endswith("/0")
        assert server.url_file.read_text() == url
        assert stat.S_IMODE(server.url_file.stat().st_mode) == 0o600
        async with redis.Redis.from_url(url) as client:
            assert await client.ping()
            assert (await client.info("persistence"))["aof_enabled"] == 1
    finally:
        await server.stop()
    assert not server.url_file.exists()


async def test_it_refuses_who_does_not_know_the_password_and_keeps_it_off_the_command_line(
    tmp_path: Path,
) -> None:
    server = EmbeddedValkey(tmp_path)
    url = await server.start()
    try:
        address = url.rpartition("@")[2]
        async with redis.Redis.from_url(f"redis://{address}") as stranger:
            with pytest.raises(AuthenticationError):
                await stranger.ping()
        password = url.split("@")[0].removeprefix("redis://:")
        assert server.pid
        assert password not in command_line(server.pid)
    finally:
        await server.stop()


async def test_data_survive_a_restart_under_the_same_address(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    url = await server.start()
    async with redis.Redis.from_url(url) as client:
        await client.set("kept", "1")
    await server.stop()
    try:
        assert await server.start() == url
        async with redis.Redis.from_url(url) as client:
            assert await client.get("kept") == b"1"
    finally:
        await server.stop()


async def test_a_crash_is_noticed_and_starting_again_brings_the_data_back(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    url = await server.start()
    async with redis.Redis.from_url(url) as client:
        await client.set("kept", "1")
    # Written to the file before the answer; only a crash of the machine could lose the last second.
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    assert await server.wait() == -signal.SIGKILL
    try:
        assert await server.start() == url
        async with redis.Redis.from_url(url) as client:
            assert await client.get("kept") == b"1"
    finally:
        await server.stop()


async def test_starting_and_stopping_are_safe_to_repeat(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    await server.stop()
    assert await server.start() == await server.start()
    await server.stop()
    await server.stop()


async def test_killing_the_owner_leaves_no_orphan_and_the_next_one_gets_the_data(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        pid, url = owner.stdout.readline().split()
        async with redis.Redis.from_url(url) as client:
            await client.set("kept", "1")
        owner.kill()
    server = EmbeddedValkey(tmp_path)
    next_url = await server.start()  # at once: it waits for the old server to let go of the files
    try:
        assert ended(int(pid))
        async with redis.Redis.from_url(next_url) as client:
            assert await client.get("kept") == b"1"
    finally:
        await server.stop()


async def test_a_second_server_on_a_used_folder_is_refused_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LOCK_TIMEOUT_SECONDS", 0.05)
    first, second = EmbeddedValkey(tmp_path), EmbeddedValkey(tmp_path)
    url = await first.start()
    try:
        with pytest.raises(DataFolderInUse, match=f"process {os.getpid()};.*FLOW_DATA_DIR"):
            await second.start()
        await second.stop()
        assert first.url_file.read_text() == url
        async with redis.Redis.from_url(url) as client:
            assert await client.ping()
    finally:
        await first.stop()


async def test_it_moves_to_another_port_when_its_own_was_taken(tmp_path: Path) -> None:
    server, squatter = EmbeddedValkey(tmp_path / "a"), EmbeddedValkey(tmp_path / "b")
    url = await squatter.start()
    try:
        server._port = squatter._port
        assert await server.start() != url
        async with redis.Redis.from_url(server.url) as client:
            assert await client.ping()
    finally:
        await server.stop()
        await squatter.stop()


async def test_a_start_that_fails_says_why_and_leaves_nothing_locked(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    await server.start()
    await server.stop()
    manifest = server.data / "appendonlydir" / "appendonly.aof.manifest"
    good = manifest.read_text()
    manifest.write_text("nonsense\n")
    with pytest.raises(EmbeddedServerError, match=r"did not start[\s\S]*manifest"):
        await server.start()
    assert server.pid is None
    assert not server.url_file.exists()
    manifest.write_text(good)
    await server.start()
    await server.stop()


async def test_any_folder_name_will_do(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / 'sp ace "quoted" back\\slash é')
    await server.start()
    await server.stop()
    assert (server.data / "appendonlydir").is_dir()
