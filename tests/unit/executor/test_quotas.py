"""What one namespace may use, and that others do not notice."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flow_engine.clock import SystemClock
from flow_engine.errors import QuotaExceeded
from services.executor.quotas import QuotaKeeper, Quotas


class Usage:
    def __init__(self) -> None:
        self.counts: dict[str, tuple[int, int]] = {}
        self.bytes: dict[str, int] = {}

    async def live(self) -> Mapping[str, tuple[int, int]]:
        return self.counts

    async def stored(self) -> Mapping[str, int]:
        return self.bytes


class Clock(SystemClock):
    at = 0.0

    def monotonic(self) -> float:
        return self.at


def refused(keeper: QuotaKeeper, namespace: str = "a", mode: str = "queued") -> str:
    """The quota's name, or an empty text when it is admitted."""
    try:
        keeper.admit(namespace, mode)
    except QuotaExceeded as error:
        return str(error.details["quota"])
    return ""


async def test_each_namespace_has_its_own_counts_and_starts_here_count_at_once() -> None:
    usage = Usage()
    keeper = QuotaKeeper(usage, Quotas(running=2, queued=3), Clock())
    usage.counts = {"a": (2, 2), "b": (0, 0)}
    await keeper.turn()
    assert refused(keeper, mode="immediate") == "running"
    assert [refused(keeper), refused(keeper)] == ["", "queued"]
    assert [refused(keeper, "b"), refused(keeper, "b", "immediate")] == ["", ""]
    assert keeper.full == ["a"]
    usage.counts = {"a": (1, 0)}
    await keeper.turn()
    assert [refused(keeper), refused(keeper, mode="immediate"), *keeper.full] == ["", "", "a"]


async def test_starts_per_second_leave_room_for_a_short_burst() -> None:
    clock = Clock()
    keeper = QuotaKeeper(Usage(), Quotas(starts_per_second=2), clock)
    assert [refused(keeper) for _ in range(5)] == ["", "", "", "", "starts per second"]
    clock.at = 0.5
    assert [refused(keeper) for _ in range(2)] == ["", "starts per second"]
    assert not refused(keeper, "b")


async def test_storage_is_counted_now_and_then() -> None:
    usage, clock = Usage(), Clock()
    keeper = QuotaKeeper(usage, Quotas(storage_bytes=100), clock)
    usage.bytes = {"a": 100, "b": 99}
    await keeper.turn()
    assert (refused(keeper), refused(keeper, "b")) == ("storage", "")
    usage.bytes = {}
    await keeper.turn()
    assert refused(keeper) == "storage"
    clock.at = 31
    await keeper.turn()
    assert not refused(keeper)


async def test_a_refusal_names_quota_limit_and_setting() -> None:
    keeper = QuotaKeeper(Usage(), Quotas(queued=1), Clock())
    keeper.admit("a", "queued")
    with pytest.raises(QuotaExceeded, match=r"quota of 1 \(queued\); FLOW_NAMESPACE_QUEUED sets it"):
        keeper.admit("a", "queued")


async def test_without_quotas_nothing_is_asked_or_refused() -> None:
    keeper = QuotaKeeper(Usage(), Quotas(), Clock())
    assert not any(refused(keeper) for _ in range(100))
    assert keeper.full == []
