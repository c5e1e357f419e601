"""The proxy does what it is told to connections, and the taps on PostgreSQL know what they see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from tests.chaos.faults.postgres import KillAtStatement, LoseAnswers, statement_kind
from tests.chaos.proxy import Action, Link, Proxy

BEGIN, COMMIT = b"Q\0\0\0\nBEGIN\0", b"Q\0\0\0\x0bCOMMIT\0"
COMMITTED = b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I"
UPDATE = b"B...UPDATE workflow_executions... queued ..."
EVENTS = b'B...INSERT ...[{"type":"execution.promoted"}]'


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that sends everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1]).start()
    yield proxy
    await asyncio.to_thread(proxy.stop)
    server.close()


async def connected(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def said(client: tuple[asyncio.StreamReader, asyncio.StreamWriter], text: bytes) -> bytes:
    """What comes back for it."""
    reader, writer = client
    writer.write(text)
    return await reader.read(1000)


async def test_what_is_sent_arrives_both_ways(proxy: Proxy) -> None:
    client = await connected(proxy)
    assert await said(client, b"one") == b"one"
    assert await said(client, b"two") == b"two"
    client[1].close()


async def test_cut_connections_end_in_good_order_and_new_ones_are_welcome(proxy: Proxy) -> None:
    client = await connected(proxy)
    await said(client, b"one")
    assert await asyncio.to_thread(proxy.cut) == 1
    assert await client[0].read() == b""
    again = await connected(proxy)
    assert await said(again, b"two") == b"two"
    again[1].close()


async def test_reset_connections_fail(proxy: Proxy) -> None:
    client = await connected(proxy)
    await said(client, b"one")
    assert await asyncio.to_thread(proxy.reset) == 1
    with pytest.raises(ConnectionResetError):
        await client[0].read()


async def test_a_black_hole_keeps_what_it_swallows_until_it_is_healed(proxy: Proxy) -> None:
    client = await connected(proxy)
    await said(client, b"one")
    proxy.blackhole()
    asked = asyncio.create_task(said(client, b"two"))
    done, _ = await asyncio.wait([asked], timeout=0.1)
    assert not done
    proxy.heal()
    assert await asked == b"two"
    client[1].close()


class Recording:
    """A tap that does one thing to everything that comes back."""

    def __init__(self, action: Action) -> None:
        self.action = action
        self.seen: list[tuple[str, bytes]] = []

    def outgoing(self, link: Link, data: bytes) -> Action:
        self.seen.append(("out", data))
        return Action.PASS

    def incoming(self, link: Link, data: bytes) -> Action:
        self.seen.append(("in", data))
        return self.action


async def test_a_tap_sees_both_ways_and_may_take_the_answer(proxy: Proxy) -> None:
    tap = proxy.tap = Recording(Action.RESET)
    client = await connected(proxy)
    client[1].write(b"one")
    with pytest.raises(ConnectionResetError):
        await client[0].read()
    assert tap.seen == [("out", b"one"), ("in", b"one")]


def link() -> Link:
    nobody: Any = None
    return Link(nobody, nobody)


def test_the_answer_of_a_commit_is_lost_after_it_has_happened() -> None:
    tap, connection = LoseAnswers(Random(1), one_in=1), link()
    assert tap.outgoing(connection, BEGIN) is Action.PASS
    assert tap.incoming(connection, b"C BEGIN\0") is Action.PASS
    assert tap.outgoing(connection, COMMIT) is Action.PASS, "the database must get it"
    assert tap.incoming(connection, COMMITTED) is Action.RESET
    assert tap.lost == 1


def killed_at(at: int, *, after: bool) -> list[str]:
    """What was let through before a promotion was killed at a statement."""
    killed: list[bool] = []
    tap, connection, other = (
        KillAtStatement(at, after=after, kill=lambda: killed.append(True)),
        link(),
        link(),
    )
    passed = []
    for statement in (BEGIN, UPDATE, EVENTS, COMMIT):
        assert tap.outgoing(other, BEGIN) is Action.PASS, "other connections do not count"
        if tap.outgoing(connection, statement) is Action.RESET:
            break
        passed.append(statement_kind(statement))
        if tap.incoming(connection, b"done") is Action.RESET:
            passed.append("killed before its answer")
            break
    assert killed == [True]
    assert tap.fired
    return passed


def test_a_promotion_is_killed_before_and_after_each_of_its_statements() -> None:
    assert killed_at(0, after=False) == ["BEGIN"]
    assert killed_at(0, after=True) == ["BEGIN", "UPDATE of the row", "killed before its answer"]
    assert killed_at(1, after=False) == ["BEGIN", "UPDATE of the row"]
    assert killed_at(2, after=False) == ["BEGIN", "UPDATE of the row", "INSERT of events"]
    assert killed_at(2, after=True)[-2:] == ["COMMIT", "killed before its answer"]
