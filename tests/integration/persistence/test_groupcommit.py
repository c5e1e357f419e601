"""PROTOCOL 10: a batch is what arrived during the last commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from flow_engine.errors import Unavailable
from services.executor.persistence.groupcommit import BATCH, BATCH_BYTES, GroupCommit


class Commits:
    """Commits that end when the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_end = asyncio.Semaphore(0)
        self.began = asyncio.Semaphore(0)

    async def __call__(self, members: Sequence[str]) -> list[str | Exception]:
        self.batches.append(list(members))
        self.began.release()
        await self.may_end.acquire()
        if "explode" in members:
            raise RuntimeError("all of it")
        return [ValueError(member) if member.startswith("bad") else member.upper() for member in members]


def group(commits: Commits) -> GroupCommit[str, str]:
    return GroupCommit(commits, lambda member: (member.rstrip("'"),))


async def test_what_arrives_during_a_commit_goes_into_the_next() -> None:
    commits = Commits()
    under_test = group(commits)
    first = asyncio.create_task(under_test.submit("a"))
    await commits.began.acquire()
    others = [asyncio.create_task(under_test.submit(name)) for name in "bcd"]
    commits.may_end.release()
    assert await first == "A"
    await commits.began.acquire()
    commits.may_end.release()
    assert await asyncio.gather(*others) == ["B", "C", "D"]
    assert commits.batches == [["a"], ["b", "c", "d"]]


async def test_members_that_share_a_key_go_into_different_batches_in_order() -> None:
    commits = Commits()
    under_test = group(commits)
    for _ in range(9):
        commits.may_end.release()
    await asyncio.gather(*(under_test.submit(name) for name in ("a", "b", "a'", "c", "a''", "b'")))
    assert commits.batches == [["a", "b", "c"], ["a'", "b'"], ["a''"]]


async def test_each_gets_its_own_error() -> None:
    commits = Commits()
    under_test = group(commits)
    commits.may_end.release()
    answers = await asyncio.gather(*(under_test.submit(n) for n in ("a", "bad", "c")), return_exceptions=True)
    assert (answers[0], answers[2]) == ("A", "C")
    assert isinstance(answers[1], ValueError)
    commits.may_end.release()
    with pytest.raises(RuntimeError):
        await under_test.submit("explode")
    commits.may_end.release()
    assert await under_test.submit("d") == "D"


async def test_a_caller_that_went_away_is_left_out_if_there_is_time() -> None:
    commits = Commits()
    under_test = group(commits)
    first = asyncio.create_task(under_test.submit("a"))
    await commits.began.acquire()
    gone, stays = asyncio.create_task(under_test.submit("b")), asyncio.create_task(under_test.submit("c"))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    commits.may_end.release()
    commits.may_end.release()
    assert await stays == "C"
    assert commits.batches == [["a"], ["c"]]


async def test_a_batch_is_bounded() -> None:
    commits = Commits()
    under_test = group(commits)
    for _ in range(3):
        commits.may_end.release()
    await asyncio.gather(*(under_test.submit(f"m{n}") for n in range(BATCH + 1)))
    assert [len(batch) for batch in commits.batches] == [BATCH, 1]


async def test_a_batch_is_bounded_in_bytes_too() -> None:
    commits = Commits()
    under_test = GroupCommit(commits, lambda member: (member,), lambda member: BATCH_BYTES // 2)
    for _ in range(2):
        commits.may_end.release()
    await asyncio.gather(*(under_test.submit(name) for name in "abcd"))
    assert commits.batches == [["a", "b"], ["c", "d"]]


async def test_stopping_commits_what_is_queued_and_takes_no_more() -> None:
    commits = Commits()
    under_test = group(commits)
    task = asyncio.create_task(under_test.submit("a"))
    await commits.began.acquire()
    stopping = asyncio.create_task(under_test.stop())
    commits.may_end.release()
    await stopping
    assert await task == "A"
    with pytest.raises(Unavailable):
        await under_test.submit("b")
