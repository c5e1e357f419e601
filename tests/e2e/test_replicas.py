"""Two executors, three workers and two gateways on PostgreSQL, behind plain round robin: it makes no
difference which of them is asked, and none of them is missed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.chaos.bench import Assignment, Bench
from tests.chaos.faults.processes import ReplicaKilled
from tests.chaos.stage import Stage
from tests.chaos.watching import frames_of
from tests.e2e import workflows
from tests.infra.postgres import PostgresCluster
from tests.infra.stack import eventually
from tests.infra.witness import Witness

T = TypeVar("T")
MODES = ("immediate", "queued")
EXECUTIONS = 60
ROUND_SECONDS = 120.0


class Replicas:
    """A stage, and the thread that it lives in: its processes die with the thread that started them.

    Each call has a connection of its own, so that one call after another goes to another gateway.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def close(self) -> None:
        problems = self.do(self.stage.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert problems == []

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        url = f"{self.stage.base_url}/api/workflow{path}"
        return httpx.request(method, url, json=body, timeout=60, **options)

    def start(self, workflow: workflows.Workflow, mode: str, **options: Any) -> str:
        """Its id, as soon as it is there."""
        body = {"workflow": workflow, "input": {"amount": 1}, "mode": mode, "options": options}
        answer = self.call("POST", "/run", body, headers={"Prefer": "respond-async"})
        execution_id: str = answer.json()["executionId"]
        return execution_id

    def until(self, execution_id: str, *statuses: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("GET", f"/execution/{execution_id}").json()
            return found if found["status"] in statuses else None

        return eventually(look, f"{execution_id} is {statuses}")

    def watched(self, execution_id: str) -> list[dict[str, Any]]:
        """All that a stream tells until the end of the execution."""

        async def watch() -> list[dict[str, Any]]:
            url = f"{self.stage.base_url}/api/workflow/execution/{execution_id}/stream"
            async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", url) as response:
                return [frame async for frame in frames_of(response)]

        return asyncio.run(watch())


@pytest.fixture
def replicas(tmp_path: Path, postgres_cluster: PostgresCluster) -> Iterator[Replicas]:
    found = Replicas(Stage(ReplicaKilled().plan("postgresql"), postgres_cluster, tmp_path))
    found.do(found.stage.start())
    yield found
    found.close()


@pytest.mark.timeout(300)
def test_it_makes_no_difference_who_is_asked_and_nobody_who_is_killed_is_missed(
    replicas: Replicas, witness: Witness
) -> None:
    """One test: seven processes are started for it."""
    both_modes_end_alike(replicas)
    a_stream_goes_on_over_pause_resume_and_promotion(replicas, witness)
    runs_are_cancelled(replicas, witness)
    answers_are_heard(replicas)
    nothing_is_lost_or_doubled_when_one_of_each_kind_is_killed_under_load(replicas)


def both_modes_end_alike(replicas: Replicas) -> None:
    for mode in MODES:
        ids = [replicas.start(workflows.ECHO, mode) for _ in range(4)]
        for execution_id in ids:
            done = replicas.until(execution_id, "completed", "failed")
            assert (done["status"], done["output"]) == ("completed", {"amount": 1})


def a_stream_goes_on_over_pause_resume_and_promotion(replicas: Replicas, witness: Witness) -> None:
    workflow = workflows.held_call(witness.url, hold_ms=1500)
    execution_id = replicas.start(workflow, "immediate", immediateBudget=1000)
    witness.wait_for("/held")
    assert replicas.call("POST", f"/execution/{execution_id}/pause").status_code == 202
    replicas.until(execution_id, "paused")
    assert not witness.calls("/last")
    assert replicas.call("POST", f"/execution/{execution_id}/resume").status_code == 200

    frames = replicas.watched(execution_id)
    assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))
    types = [frame["type"] for frame in frames]
    assert types[-1] == "execution.completed"
    assert types.index("execution.promoted") < types.index("execution.claimed")
    assert [call["path"] for call in witness.calls()] == ["/first", "/held", "/last"]


def runs_are_cancelled(replicas: Replicas, witness: Witness) -> None:
    for mode in MODES:
        execution_id = replicas.start(workflows.held_call(f"{witness.url}/{mode}"), mode)
        witness.wait_for(f"/{mode}/held")
        assert replicas.call("POST", f"/execution/{execution_id}/cancel").status_code in (200, 202)
        assert witness.gone.wait(5), "the request went on"
        witness.gone.clear()
        assert replicas.until(execution_id, "cancelled", "completed")["status"] == "cancelled"


def answers_are_heard(replicas: Replicas) -> None:
    for mode in MODES:
        execution_id = replicas.start(workflows.APPROVAL, mode)
        replicas.until(execution_id, "waiting")
        answer = {"approved": True, "comment": "ada"}
        assert replicas.call("POST", f"/execution/{execution_id}/input/ok", answer).status_code == 200
        assert replicas.until(execution_id, "completed", "failed")["output"] == {"by": "ada"}


def nothing_is_lost_or_doubled_when_one_of_each_kind_is_killed_under_load(replicas: Replicas) -> None:
    bench = Bench(replicas.stage.folder, seed=9, short=True, keep=True, say=print)
    assignment = Assignment(ReplicaKilled(), "postgresql", EXECUTIONS)
    row = replicas.do(bench.round(replicas.stage, assignment), ROUND_SECONDS)
    assert row.void == ""
    assert row.verdict.violations == []
    assert row.acknowledged == EXECUTIONS
