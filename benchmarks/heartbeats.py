"""Four executions in one process, one of them evaluating the dearest hostile expressions: who is late?

A heartbeat every 10 ms and the steps of the three honest executions are measured; none may be late by
more than 100 ms.

python -m benchmarks.heartbeats
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.expressions import hostile_cost
from flow_engine.interpreter.events import ExecutionCreated, StepCompleted, StepStarted
from flow_engine.interpreter.journal import Entry, Receipt
from flow_engine.interpreter.runner import Runner
from flow_engine.nodes.contract import NodeServices
from flow_engine.nodes.registry import built_in_registry
from flow_engine.payload import PayloadRef
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.validation import compile_workflow
from tests.unit.expressions.hostile import EXPRESSIONS, SCOPE

ALLOWED_MS = 100.0
BEAT_SECONDS = 0.01
DELAY_MS = 20
HONEST_STEPS = 100


class Memory:
    """A journal that keeps its events."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def commit(self, entry: Entry) -> Receipt:
        first = len(self.events) + 2
        self.events += entry.events
        await asyncio.sleep(0)
        return Receipt(True, first)

    async def sure(self) -> None:
        pass

    def database_now(self) -> datetime:
        return datetime.now(UTC)

    async def payload(self, ref: PayloadRef) -> bytes:
        raise LookupError(ref.hash)


def compiled(definition: dict[str, Any]) -> WorkflowGraph:
    return compile_workflow(definition, built_in_registry())


async def run(graph: WorkflowGraph, value: Any) -> list[Any]:
    journal = Memory()
    created = ExecutionCreated(
        time=datetime.now(UTC),
        definition_hash=graph.definition_hash,
        mode="queued",
        requested_mode="queued",
        root_id="benchmark",
        input=value,
    )
    await Runner(graph, [created], journal, journal, NodeServices(), "benchmark").run()
    return journal.events


def hostile(source: str) -> dict[str, Any]:
    """The same expression, again and again; each evaluation fails and is caught."""
    inner = {
        "id": "burn",
        "type": "data.set",
        "parentId": "again",
        "config": {"values": {"x": f"${{ {source} }}"}},
    }
    again = {
        "id": "again",
        "type": "logic.foreach",
        "config": {"items": list(range(10)), "onItemError": "collect"},
    }
    return {"nodes": [again, inner], "edges": []}


def honest() -> dict[str, Any]:
    nodes = [
        {"id": f"n{n}", "type": "logic.delay", "config": {"durationMs": DELAY_MS}}
        for n in range(HONEST_STEPS)
    ]
    edges = [{"source": f"n{n}", "target": f"n{n + 1}"} for n in range(HONEST_STEPS - 1)]
    return {"nodes": nodes, "edges": edges}


async def beat(late: list[float]) -> None:
    while True:
        due = time.perf_counter() + BEAT_SECONDS
        await asyncio.sleep(BEAT_SECONDS)
        late.append((time.perf_counter() - due) * 1000)


def lateness(events: list[Any]) -> float:
    """The most that a step took beyond its delay, in milliseconds."""
    began = {event.node_id: event.time for event in events if isinstance(event, StepStarted)}
    return max(
        (event.time - began[event.node_id]).total_seconds() * 1000 - DELAY_MS
        for event in events
        if isinstance(event, StepCompleted)
    )


async def measure(source: str) -> tuple[float, float]:
    """Lateness of heartbeats and of honest steps beside one hostile execution, in milliseconds."""
    late: list[float] = []
    burner, chain = compiled(hostile(source)), compiled(honest())
    heart = asyncio.create_task(beat(late))
    burning = asyncio.create_task(run(burner, SCOPE))
    histories = await asyncio.gather(*(run(chain, None) for _ in range(3)))
    await burning
    heart.cancel()
    return max(late), max(map(lateness, histories))


def dearest() -> str:
    """The hostile expression that costs most, as a workflow writes it: the data are its input."""
    name = max(EXPRESSIONS, key=hostile_cost)
    return re.sub(rf"(?<![.\w\"'])({'|'.join(SCOPE)})(?![\w\"']|\.decode)", r"input.\1", EXPRESSIONS[name])


def main() -> int:
    source = dearest()
    beats, steps = asyncio.run(measure(source))
    print(f"beside {source[:60]}")
    print(f"{'heartbeat late by at most':<40} {beats:7.1f} ms   (allowed {ALLOWED_MS:g})")
    print(f"{'honest steps late by at most':<40} {steps:7.1f} ms   (allowed {ALLOWED_MS:g})")
    return int(max(beats, steps) > ALLOWED_MS)


if __name__ == "__main__":
    sys.exit(main())
