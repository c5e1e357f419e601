"""How close estimates come to the truth, after twenty runs of each of some mixed workflows.

The workflows wait for spans that nothing declares (they come out of a step), vary by a fifth, branch on
their input or on what a step said, loop over lists of other lengths, and run steps side by side. Nine
of ten estimates must lie within a factor of 1.5 of the truth; without history, few would.

python -m benchmarks.estimates [sqlite|postgresql]
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx
import uvloop

from benchmarks.stage import running_stack
from tests.infra.stack import Stack

RUNS = 20
CLOSE, WANTED = 1.5, 0.9
AT_ONCE = 2
LEARNED_SECONDS = 6.0
"""An executor that has read what is known reads it anew after five seconds."""

Workflow = dict[str, Any]


def node(id_: str, type_: str, parent: str | None = None, **config: Any) -> dict[str, Any]:
    found = {"id": id_, "type": type_, "config": config}
    return found if parent is None else {**found, "parentId": parent}


def hidden(id_: str, span: str, parent: str | None = None) -> list[dict[str, Any]]:
    """A wait whose span only a step before it knows."""
    told = node(f"{id_}_ms", "data.set", parent, values={"ms": f"${{ {span} }}"})
    return [told, node(id_, "logic.delay", parent, durationMs=f"${{ int(nodes.{id_}_ms.output.ms) }}")]


def workflow(id_: str, nodes: Sequence[dict[str, Any]], *ways: str) -> Workflow:
    """ways: `a>b` and `a:true>b`."""
    edges = []
    for way in ways:
        source, target = way.split(">")
        name, _, handle = source.partition(":")
        edges.append({"source": name, "target": target, **({"sourceHandle": handle} if handle else {})})
    return {"id": id_, "nodes": list(nodes), "edges": edges}


WORKFLOWS: dict[str, Workflow] = {
    "chain": workflow(
        "chain",
        [*hidden("a", "40 * input.jitter"), *hidden("b", "80 * input.jitter")],
        *("a_ms>a", "a>b_ms", "b_ms>b"),
    ),
    "branch by input": workflow(
        "branch-by-input",
        [
            node("vip", "logic.if", condition="${ input.n % 2 == 0 }"),
            *hidden("short", "30 * input.jitter"),
            *hidden("long", "200 * input.jitter"),
        ],
        *("vip:true>short_ms", "short_ms>short", "vip:false>long_ms", "long_ms>long"),
    ),
    "branch by a step": workflow(
        "branch-by-a-step",
        [
            node("score", "data.set", values={"n": "${ input.n }"}),
            node("rare", "logic.if", condition="${ nodes.score.output.n % 20 == 7 }"),
            *hidden("slow", "300 * input.jitter"),
            *hidden("quick", "60 * input.jitter"),
        ],
        *("score>rare", "rare:true>slow_ms", "slow_ms>slow", "rare:false>quick_ms", "quick_ms>quick"),
    ),
    "loop over the input": workflow(
        "loop-over-the-input",
        [
            node("each", "logic.foreach", items="${ input.items }", concurrency=2),
            *hidden("work", "25 * input.jitter", "each"),
        ],
        "work_ms>work",
    ),
    "side by side": workflow(
        "side-by-side",
        [
            node("go", "flow.noop"),
            *hidden("x", "50 * input.jitter"),
            *hidden("y", "120 * input.jitter"),
            node("join", "flow.noop"),
        ],
        *("go>x_ms", "x_ms>x", "go>y_ms", "y_ms>y", "x>join", "y>join"),
    ),
}


def given(n: int, chance: random.Random) -> dict[str, Any]:
    items = list(range(chance.choice([4, 8, 12, 16])))
    return {"n": n, "jitter": chance.uniform(0.8, 1.2), "items": items}


async def measure(stack: Stack) -> int:
    chance = random.Random(1)
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=60) as client:
        before = {name: await ratios(client, one, chance) for name, one in WORKFLOWS.items()}
        await counted(client)
        after = {name: await ratios(client, one, chance) for name, one in WORKFLOWS.items()}
    for name in WORKFLOWS:
        print(f"  {name:24} without history {close(before[name]):4.0%}, with {close(after[name]):4.0%}")
    share = close([ratio for some in after.values() for ratio in some])
    verdict = "ok" if share >= WANTED else "BROKEN"
    print(f"  {share:.0%} within a factor of {CLOSE} (at least {WANTED:.0%}): {verdict}")
    return int(share < WANTED)


async def ratios(client: httpx.AsyncClient, one: Workflow, chance: random.Random) -> list[float]:
    """Truth by estimate of so many runs."""
    left = [given(n, chance) for n in range(RUNS)]
    found: list[float] = []

    async def caller() -> None:
        while left:
            body = {"workflow": one, "input": left.pop(), "mode": "immediate"}
            execution = (await client.post("/api/workflow/run", json=body)).raise_for_status().json()
            assert execution["status"] == "completed", execution
            estimate = max(execution["complexity"]["estimatedDurationMs"], 0.5)
            found.append(execution["durationMs"] / estimate)

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return found


async def counted(client: httpx.AsyncClient) -> None:
    """Returns when what has ended is learned from, and whoever read before will read again."""
    deadline = time.monotonic() + 60
    while True:
        stats = (await client.get("/api/stats")).raise_for_status().json()
        if not stats["uncounted"] and stats["total"]["runs"] >= RUNS * len(WORKFLOWS):
            break
        assert time.monotonic() < deadline, "nothing is counted"
        await asyncio.sleep(0.5)
    await asyncio.sleep(LEARNED_SECONDS)


def close(found: Sequence[float]) -> float:
    return sum(1 / CLOSE <= ratio <= CLOSE for ratio in found) / len(found)


def main(arguments: Sequence[str]) -> int:
    kind = arguments[0] if arguments else "sqlite"
    with running_stack(kind) as stack:
        print(f"estimates after {RUNS} runs of each workflow, on {kind}")
        return uvloop.run(measure(stack))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
