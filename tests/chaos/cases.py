"""What the bench starts: small workflows of every kind, each with all that must have happened in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

Json = Any
Address = tuple[str, tuple[int, ...]]
"""A step: its node and its iteration."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The answer that a person gives to a waiting step."""

    node_id: str
    approved: bool


@dataclass(frozen=True, slots=True)
class Case:
    """A workflow with its input, and its only right end.

    outcomes: of every step: completed, failed or skipped. calls: path at the witness to the step that
    calls it. output: what the execution gives when it completes.
    """

    kind: str
    workflow: Mapping[str, Json]
    input: Mapping[str, Json]
    outcomes: Mapping[Address, str]
    calls: Mapping[str, Address] = field(default_factory=dict)
    output: Json = None
    status: str = "completed"
    error_code: str = ""  # when it must fail
    approval: Approval | None = None
    mode: str = ""  # "" leaves it to the load
    """Which mode it must be started in."""


CaseMaker = Callable[[Random, str, str], Case]
"""(chance, URL of the witness, path of this execution there)"""


def some_case(chance: Random, witness_url: str, path: str) -> Case:
    """One of the mix that every fault is met with."""
    makers, weights = zip(*MIX.items(), strict=True)
    (maker,) = chance.choices(makers, weights)
    case: Case = maker(chance, witness_url, path)
    return case


def chain(chance: Random, witness_url: str, path: str) -> Case:
    """Calls one after another."""
    names = [f"c{number}" for number in range(chance.randint(2, 5))]
    nodes = [call(name) for name in names]
    edges = [{"source": a, "target": b} for a, b in pairwise(names)]
    workflow = {
        "id": f"chain-{len(names)}",
        "nodes": nodes,
        "edges": edges,
        "output": f"${{ nodes.{names[-1]}.output.body.path }}",
    }
    return Case(
        "chain",
        workflow,
        input_of(chance, witness_url, path),
        completed(*names),
        called(path, *names),
        output=f"{path}/{names[-1]}",
    )


def fan_out(chance: Random, witness_url: str, path: str) -> Case:
    """Several calls side by side, then one more."""
    names = [f"f{number}" for number in range(chance.randint(2, 6))]
    workflow = {
        "id": f"fan-out-{len(names)}",
        "nodes": [
            {"id": "begin", "type": "data.set", "config": {"values": {"path": "${ input.url }"}}},
            *map(call, names),
            call("end"),
        ],
        "edges": [
            *({"source": "begin", "target": name} for name in names),
            *({"source": name, "target": "end"} for name in names),
        ],
        "output": "${ nodes.end.output.status }",
    }
    return Case(
        "fan-out",
        workflow,
        input_of(chance, witness_url, path),
        completed("begin", *names, "end"),
        called(path, *names, "end"),
        output=200,
    )


def loop(chance: Random, witness_url: str, path: str) -> Case:
    """A call for each item of a list, some at once."""
    count, concurrency = chance.randint(2, 8), chance.randint(1, 3)
    body = call("item")
    body["parentId"] = "each"
    body["config"]["url"] = "${ input.url }/item/${ item }?hold=${ input.hold }"
    workflow = {
        "id": f"loop-{concurrency}",
        "nodes": [
            {
                "id": "each",
                "type": "logic.foreach",
                "config": {"items": "${ input.items }", "concurrency": concurrency},
            },
            body,
            call("after"),
        ],
        "edges": [{"source": "each", "target": "after"}],
        "output": "${ nodes.each.output.map(answer, answer.status) }",
    }
    items = {f"{path}/item/{index}": ("item", (index,)) for index in range(count)}
    return Case(
        "loop",
        workflow,
        {**input_of(chance, witness_url, path), "items": list(range(count))},
        completed("each", "after") | dict.fromkeys(items.values(), "completed"),
        items | called(path, "after"),
        output=[200] * count,
    )


def wait(chance: Random, witness_url: str, path: str) -> Case:
    """Waits between two calls; one in five long enough to let go of the execution."""
    long = chance.random() < 0.2
    milliseconds = chance.randint(5_100, 6_500) if long else chance.randint(1, 1_200)
    workflow = {
        "id": f"wait-{'long' if long else 'short'}",
        "nodes": [
            call("before"),
            {"id": "pause", "type": "logic.delay", "config": {"durationMs": "${ input.pause }"}},
            call("after"),
        ],
        "edges": [{"source": "before", "target": "pause"}, {"source": "pause", "target": "after"}],
        "output": "${ nodes.pause.output.durationMs }",
    }
    return Case(
        "wait",
        workflow,
        {**input_of(chance, witness_url, path), "pause": milliseconds},
        completed("before", "pause", "after"),
        called(path, "before", "after"),
        output=milliseconds,
    )


def approval(chance: Random, witness_url: str, path: str) -> Case:
    """Asks a person, and goes one way or the other."""
    approved = chance.random() < 0.5
    taken, left = ("yes", "no") if approved else ("no", "yes")
    workflow = {
        "id": "approval",
        "nodes": [
            call("before"),
            {"id": "ask", "type": "human.approval", "config": {"title": "Go on with ${ input.url }?"}},
            call("yes"),
            call("no"),
        ],
        "edges": [
            {"source": "before", "target": "ask"},
            {"source": "ask", "sourceHandle": "approved", "target": "yes"},
            {"source": "ask", "sourceHandle": "rejected", "target": "no"},
        ],
        "output": "${ nodes.ask.output.approved }",
    }
    return Case(
        "approval",
        workflow,
        input_of(chance, witness_url, path),
        completed("before", "ask", taken) | {(left, ()): "skipped"},
        called(path, "before", taken),
        output=approved,
        approval=Approval("ask", approved),
    )


def refused_call(chance: Random, witness_url: str, path: str) -> Case:
    """A call that fails twice, and a way round it."""
    failing = call("failing")
    failing["config"]["url"] += "&status=503"
    failing |= {"retry": {"maxAttempts": 2, "initialIntervalMs": 50}, "onError": "branch"}
    workflow = {
        "id": "refused-call",
        "nodes": [failing, call("instead"), {"id": "never", "type": "flow.noop"}],
        "edges": [
            {"source": "failing", "sourceHandle": "error", "target": "instead"},
            {"source": "failing", "target": "never"},
        ],
        "output": "${ nodes.failing.error.code }",
    }
    return Case(
        "refused-call",
        workflow,
        input_of(chance, witness_url, path),
        completed("instead") | {("failing", ()): "failed", ("never", ()): "skipped"},
        called(path, "failing", "instead"),
        output="HTTP_STATUS",
    )


def pure(chance: Random, witness_url: str, path: str) -> Case:
    """Nothing outside: its first commit may come with its last."""
    number = chance.randint(0, 20)
    taken, left = ("big", "small") if number > 10 else ("small", "big")
    workflow = {
        "id": "pure",
        "nodes": [
            {"id": "twice", "type": "data.set", "config": {"values": {"n": "${ input.number * 2 }"}}},
            {"id": "which", "type": "logic.if", "config": {"condition": "${ nodes.twice.output.n > 20 }"}},
            {"id": "big", "type": "flow.noop"},
            {"id": "small", "type": "flow.noop"},
        ],
        "edges": [
            {"source": "twice", "target": "which"},
            {"source": "which", "sourceHandle": "true", "target": "big"},
            {"source": "which", "sourceHandle": "false", "target": "small"},
        ],
        "output": "${ nodes.twice.output.n }",
    }
    outcomes = completed("twice", "which", taken) | {(left, ()): "skipped"}
    return Case("pure", workflow, {"number": number}, outcomes, output=2 * number)


def slow_calls(chance: Random, witness_url: str, path: str) -> Case:
    """Three calls of 150 ms each: more than a short budget."""
    names = ("s0", "s1", "s2")
    workflow = {
        "id": "slow-calls",
        "nodes": [call(name) for name in names],
        "edges": [{"source": a, "target": b} for a, b in pairwise(names)],
        "output": "${ nodes.s2.output.body.path }",
    }
    return Case(
        "slow-calls",
        workflow,
        {**input_of(chance, witness_url, path), "hold": 150},
        completed(*names),
        called(path, *names),
        output=f"{path}/s2",
        mode="immediate",
    )


def held_call(chance: Random, witness_url: str, path: str) -> Case:
    """One call that takes two seconds, for faults that must find a step under way."""
    held = call("held")
    held["config"]["url"] = "${ input.url }/held?hold=2000"
    workflow = {
        "id": "held-call",
        "nodes": [call("first"), held, call("last")],
        "edges": [{"source": "first", "target": "held"}, {"source": "held", "target": "last"}],
        "output": "${ nodes.held.output.status }",
    }
    return Case(
        "held-call",
        workflow,
        {**input_of(chance, witness_url, path), "hold": 0},
        completed("first", "held", "last"),
        called(path, "first", "held", "last"),
        output=200,
        mode="queued",
    )


def deadly(chance: Random, witness_url: str, path: str) -> Case:
    """Kills whoever runs it, each time."""
    workflow = {
        "id": "deadly",
        "nodes": [call("before"), {"id": "kill", "type": "chaos.kill"}, call("after")],
        "edges": [{"source": "before", "target": "kill"}, {"source": "kill", "target": "after"}],
    }
    return Case(
        "deadly",
        workflow,
        {**input_of(chance, witness_url, path), "hold": 0},
        completed("before"),
        called(path, "before"),
        status="failed",
        error_code="WORKER_LOST",
        mode="queued",
    )


MIX: dict[CaseMaker, int] = {
    chain: 30,
    fan_out: 15,
    loop: 15,
    wait: 12,
    approval: 10,
    refused_call: 6,
    pure: 12,
}


def call(name: str) -> dict[str, Json]:
    url = f"${{ input.url }}/{name}?hold=${{ input.hold }}"
    return {"id": name, "type": "http.request", "config": {"method": "POST", "url": url}}


def called(path: str, *names: str) -> dict[str, Address]:
    return {f"{path}/{name}": (name, ()) for name in names}


def completed(*names: str) -> dict[Address, str]:
    return {(name, ()): "completed" for name in names}


def input_of(chance: Random, witness_url: str, path: str) -> dict[str, Json]:
    return {"url": witness_url + path, "hold": chance.choice((0, 0, 20, 60, 150, 400))}
