"""queue.publish against a real server. Its failures are those of redis.publish, by the same code."""

from __future__ import annotations

from typing import Any

import redis

from flow_engine.nodes.services import SharedServices
from tests.infra.egress import LOOPBACK_GUARD
from tests.infra.ports import free_port
from tests.unit.nodes import contexts

NEAR = SharedServices(LOOPBACK_GUARD)


def raw(url: str, **changes: Any) -> dict[str, Any]:
    return {"url": url, "queue": "q", "message": {"n": 2**53 + 1}, **changes}


async def test_messages_wait_in_order_for_a_group_that_comes_later(redis_url: str) -> None:
    first = (await contexts.completed("queue.publish", raw(redis_url), services=NEAR)).output
    more = raw(redis_url, message="plain ä", attributes={"kind": "order", "stepKey": "forged"})
    await contexts.completed("queue.publish", more, services=NEAR)
    with redis.Redis.from_url(redis_url) as client:
        client.xgroup_create("q", "group", id="0")
        ((_, entries),) = client.xreadgroup("group", "reader", {"q": ">"})
    key = contexts.context().step_key.encode()
    assert entries[0] == (first["id"].encode(), {b"body": b'{"n":9007199254740993}', b"stepKey": key})
    assert entries[1][1] == {b"kind": b"order", b"body": "plain ä".encode(), b"stepKey": key}


async def test_old_messages_make_way(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for n in range(300):
            client.xadd("q", {"n": n})
        await contexts.completed("queue.publish", raw(redis_url, maxLength=10), services=NEAR)
        assert client.xlen("q") < 300


async def test_a_queue_that_is_something_else_and_a_server_that_is_none_fail(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("q", "a string")
    taken = (await contexts.failed("queue.publish", raw(redis_url), services=NEAR)).failure
    assert (taken.code, taken.retryable) == ("REDIS_ERROR", False)
    nobody = raw(f"redis://127.0.0.1:{free_port()}")
    none = (await contexts.failed("queue.publish", nobody, services=NEAR)).failure
    assert (none.code, none.retryable) == ("REDIS_CONNECT", True)
