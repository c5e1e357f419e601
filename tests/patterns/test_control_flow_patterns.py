"""The control-flow patterns that the engine expresses: one workflow each, and the events it must write.

Names and numbers are those of the Workflow Patterns Initiative; tests/data/workflow-patterns.json
names the source and tells which of the 43 are within reach. docs/patterns.md says how.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flow_engine.interpreter.events import ChildStarted
from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.limits import DEFAULT_LIMITS
from flow_engine.workflow.validation import compile_workflow
from services.executor.subflows import Subflows
from tests.unit.interpreter.play import Play, node, workflow

ROOT = Path(__file__).parents[2]
CATALOGUE = json.loads((ROOT / "tests/data/workflow-patterns.json").read_text())
NAMES = {pattern["id"]: pattern["name"] for pattern in CATALOGUE["patterns"]}


@dataclass(frozen=True)
class Example:
    """A workflow named by its pattern."""

    definition: dict[str, Any]
    expected: list[str]  # what happens, in order
    input: Any = None
    answers: dict[str, Any] = field(default_factory=dict)


def step(node_id: str, **fields: Any) -> dict[str, Any]:
    return node(node_id, "flow.noop", **fields)


def lasting(node_id: str, milliseconds: Any, **fields: Any) -> dict[str, Any]:
    return node(node_id, "logic.delay", durationMs=milliseconds, **fields)


def choice(node_id: str, condition: str) -> dict[str, Any]:
    return node(node_id, "logic.if", condition=condition)


def apart(node_id: str, **config: Any) -> dict[str, Any]:
    """Starts an execution of its own for some work, and does not wait for it."""
    work = workflow(lasting("work", 3_600_000))
    own = {"workflow": work, "detached": True, "waitForCompletion": False}
    return node(node_id, "flow.subflow", **own, **config)


EXAMPLES: dict[str, list[Example]] = {
    "WCP-1": [
        Example(
            workflow(step("a"), step("b"), ways="a > b"),
            ["a started", "a completed", "b started", "b completed", "completed"],
        )
    ],
    "WCP-2": [
        Example(
            workflow(step("a"), lasting("b", 20), lasting("c", 10), ways="a > b; a > c"),
            [
                "a started",
                "a completed",
                "b started",
                "c started",
                "c completed",
                "b completed",
                "completed",
            ],
        )
    ],
    "WCP-3": [
        Example(
            workflow(lasting("a", 20), lasting("b", 10), step("both"), ways="a > both; b > both"),
            [
                "a started",
                "b started",
                "b completed",
                "a completed",
                "both started",
                "both completed",
                "completed",
            ],
        )
    ],
    "WCP-4": [
        Example(
            workflow(choice("if", "${ input > 5 }"), step("b"), step("c"), ways="if:true > b; if:false > c"),
            ["if started", "if completed true", "c skipped", "b started", "b completed", "completed"],
            input=7,
        ),
        Example(
            workflow(
                node(
                    "sw",
                    "logic.switch",
                    cases=[
                        {"when": "${ input > 5 }", "handle": "large"},
                        {"when": "${ input > 2 }", "handle": "some"},
                    ],
                ),
                step("large"),
                step("some"),
                step("few"),
                ways="sw:large > large; sw:some > some; sw:default > few",
            ),
            [
                "sw started",
                "sw completed some",
                "large skipped",
                "few skipped",
                "some started",
                "some completed",
                "completed",
            ],
            input=3,
        ),
    ],
    "WCP-5": [
        Example(
            workflow(
                choice("if", "${ input }"),
                step("a"),
                step("b"),
                step("merge"),
                ways="if:true > a > merge; if:false > b > merge",
            ),
            [
                "if started",
                "if completed false",
                "a skipped",
                "b started",
                "b completed",
                "merge started",
                "merge completed",
                "completed",
            ],
            input=False,
        )
    ],
    "WCP-6": [
        Example(
            workflow(
                choice("fire", "${ 'fire' in input }"),
                choice("flood", "${ 'flood' in input }"),
                choice("theft", "${ 'theft' in input }"),
                step("brigade"),
                step("pumps"),
                step("police"),
                ways="fire:true > brigade; flood:true > pumps; theft:true > police",
            ),
            [
                "fire started",
                "fire completed true",
                "flood started",
                "flood completed false",
                "pumps skipped",
                "theft started",
                "theft completed true",
                "brigade started",
                "brigade completed",
                "police started",
                "police completed",
                "completed",
            ],
            input=["fire", "theft"],
        ),
        Example(
            workflow(
                node(
                    "call",
                    "logic.switch",
                    mode="all",
                    cases=[
                        {"when": "${ 'fire' in input }", "handle": "fire"},
                        {"when": "${ 'flood' in input }", "handle": "flood"},
                        {"when": "${ 'theft' in input }", "handle": "theft"},
                    ],
                ),
                step("brigade"),
                step("pumps"),
                step("police"),
                ways="call:fire > brigade; call:flood > pumps; call:theft > police",
            ),
            [
                "call started",
                "call completed fire theft",
                "pumps skipped",
                "brigade started",
                "brigade completed",
                "police started",
                "police completed",
                "completed",
            ],
            input=["fire", "theft"],
        ),
    ],
    "WCP-7": [
        Example(
            workflow(
                choice("fire", "${ 'fire' in input }"),
                choice("flood", "${ 'flood' in input }"),
                lasting("brigade", 10),
                lasting("pumps", 20),
                step("report"),
                ways="fire:true > brigade > report; flood:true > pumps > report",
            ),
            [
                "fire started",
                "fire completed true",
                "flood started",
                "flood completed true",
                "brigade started",
                "pumps started",
                "brigade completed",
                "pumps completed",
                "report started",
                "report completed",
                "completed",
            ],
            input=["fire", "flood"],
        ),
        Example(
            workflow(
                choice("fire", "${ 'fire' in input }"),
                choice("flood", "${ 'flood' in input }"),
                lasting("brigade", 10),
                lasting("pumps", 20),
                step("report"),
                ways="fire:true > brigade > report; flood:true > pumps > report",
            ),
            [
                "fire started",
                "fire completed false",
                "brigade skipped",
                "flood started",
                "flood completed true",
                "pumps started",
                "pumps completed",
                "report started",
                "report completed",
                "completed",
            ],
            input=["flood"],
        ),
    ],
    "WCP-9": [
        Example(
            workflow(
                lasting("a", 10), lasting("b", 30), step("first", join="any"), ways="a > first; b > first"
            ),
            [
                "a started",
                "b started",
                "a completed",
                "first started",
                "first completed",
                "b completed",
                "completed",
            ],
        )
    ],
    "WCP-11": [
        Example(
            workflow(
                step("a"), lasting("b", 10), lasting("c", 20), choice("d", "${ false }"), step("e"),
                ways="a > b; a > c; d:true > e",
            ),
            [
                "a started",
                "a completed",
                "d started",
                "d completed false",
                "e skipped",
                "b started",
                "c started",
                "b completed",
                "c completed",
                "completed",
            ],
        )
    ],
    "WCP-12": [
        Example(
            workflow(
                node("each", "logic.foreach", items="${ input }", concurrency=3),
                apart("work", input={"item": "${ item }"}, parentId="each"),
                step("next"),
                ways="each > next",
            ),
            [
                "each started",
                *2 * ["work[0] started"],  # the step, and the execution
                "work[0] completed",
                *2 * ["work[1] started"],  # the step, and the execution
                "work[1] completed",
                "each completed",
                "next started",
                "next completed",
                "completed",
            ],
            input=["a", "b"],
        )
    ],
    "WCP-13": [
        Example(
            workflow(
                node("each", "logic.foreach", items=["x", "y"], concurrency=2),
                lasting("sign", 10, parentId="each"),
                step("after"),
                ways="each > after",
            ),
            [
                "each started",
                "sign[0] started",
                "sign[1] started",
                "sign[0] completed",
                "sign[1] completed",
                "each completed",
                "after started",
                "after completed",
                "completed",
            ],
        )
    ],
    "WCP-14": [
        Example(
            workflow(
                node("read", "data.set", values={"pages": "${ input }"}),
                node("each", "logic.foreach", items="${ nodes.read.output.pages }", concurrency=3),
                lasting("check", 10, parentId="each"),
                step("after"),
                ways="read > each > after",
            ),
            [
                "read started",
                "read completed",
                "each started",
                "check[0] started",
                "check[1] started",
                "check[2] started",
                "check[0] completed",
                "check[1] completed",
                "check[2] completed",
                "each completed",
                "after started",
                "after completed",
                "completed",
            ],
            input=[1, 2, 3],
        )
    ],
    "WCP-24": [
        Example(
            workflow(
                node("ask", "human.approval", title="Deliver?"),
                step("deliver"),
                ways="ask:approved > deliver",
            ),
            [
                "ask started",
                "ask waiting",
                "waiting",
                "ask answered",
                "ask completed approved",
                "deliver started",
                "deliver completed",
                "completed",
            ],
            answers={"ask": {"approved": True}},
        )
    ],
    "WCP-30": [
        Example(
            workflow(
                lasting("a", 10),
                lasting("b", 30),
                lasting("c", 20),
                step("two", join=2),
                ways="a > two; b > two; c > two",
            ),
            [
                "a started",
                "b started",
                "c started",
                "a completed",
                "c completed",
                "two started",
                "two completed",
                "b completed",
                "completed",
            ],
        )
    ],
    "WCP-37": [
        Example(
            # No block structure: `early` joins half of one choice and all of another.
            workflow(
                choice("x", "${ input.x }"),
                choice("y", "${ input.y }"),
                lasting("a", 10),
                lasting("b", 20),
                lasting("c", 30),
                step("early"),
                step("late"),
                ways="x:true > a > early; y:true > b > early; y:false > c > late; early > late",
            ),
            [
                "x started",
                "x completed true",
                "y started",
                "y completed false",
                "b skipped",
                "a started",
                "c started",
                "a completed",
                "early started",
                "early completed",
                "c completed",
                "late started",
                "late completed",
                "completed",
            ],
            input={"x": True, "y": False},
        ),
        Example(
            workflow(
                choice("x", "${ input.x }"),
                choice("y", "${ input.y }"),
                lasting("a", 10),
                lasting("b", 20),
                lasting("c", 30),
                step("early"),
                step("late"),
                ways="x:true > a > early; y:true > b > early; y:false > c > late; early > late",
            ),
            [
                "x started",
                "x completed false",
                "a skipped",
                "y started",
                "y completed false",
                "b skipped",
                "early skipped",
                "c started",
                "c completed",
                "late started",
                "late completed",
                "completed",
            ],
            input={"x": False, "y": False},
        ),
    ],
    "WCP-21": [
        Example(
            workflow(
                node("loop", "logic.while", condition="${ previous == null || previous.n < input }"),
                node("x", "data.set", parentId="loop", values={"n": "${ iteration + 1 }"}),
            ),
            [
                "loop started",
                "x[0] started",
                "x[0] completed",
                "x[1] started",
                "x[1] completed",
                "loop completed",
                "completed",
            ],
            input=2,
        )
    ],
    "WCP-29": [
        Example(
            workflow(
                lasting("a", 10),
                lasting("b", 3000),
                node("join", "logic.join", join="any", cancelRest=True),
                ways="a > join; b > join",
            ),
            [
                "a started",
                "b started",
                "a completed",
                "join started",
                "join completed",
                "b cancelled joinSatisfied",
                "completed",
            ],
        )
    ],
    "WCP-32": [
        Example(
            workflow(
                lasting("a", 10),
                lasting("b", 30),
                lasting("c", 3000),
                node("join", "logic.join", join=2, cancelRest=True),
                ways="a > join; b > join; c > join",
            ),
            [
                "a started",
                "b started",
                "c started",
                "a completed",
                "b completed",
                "join started",
                "join completed",
                "c cancelled joinSatisfied",
                "completed",
            ],
        )
    ],
    "WCP-34": [
        Example(
            workflow(
                node("each", "logic.foreach", items="${ input }", concurrency=3, stopAfter=2),
                apart("work", input={"item": "${ item }", "to": "${ callbacks.done.url }"}, parentId="each"),
                node("done", "wait.callback", parentId="each"),
                step("next"),
                ways="work > done; each > next",
            ),
            [
                "each started",
                *2 * ["work[0] started"],  # the step, and the execution
                "work[0] completed",
                *2 * ["work[1] started"],  # the step, and the execution
                "work[1] completed",
                *2 * ["work[2] started"],  # the step, and the execution
                "work[2] completed",
                "done[0] started",
                "done[0] waiting",
                "done[1] started",
                "done[1] waiting",
                "done[2] started",
                "done[2] waiting",
                "waiting",
                "done[0] answered",
                "done[0] completed received",
                "waiting",
                "done[1] answered",
                "done[1] completed received",
                "done[2] cancelled enough",
                "each completed",
                "next started",
                "next completed",
                "completed",
            ],
            input=["a", "b", "c"],
            answers={"done": {}},
        )
    ],
    "WCP-35": [
        Example(
            workflow(
                node("each", "logic.foreach", items="${ input }", concurrency=3, stopAfter=1),
                lasting("x", "${ item }", parentId="each"),
            ),
            [
                "each started",
                "x[0] started",
                "x[1] started",
                "x[2] started",
                "x[1] completed",
                "x[0] cancelled enough",
                "x[2] cancelled enough",
                "each completed",
                "completed",
            ],
            input=[3000, 10, 3000],
        )
    ],
    "WCP-43": [
        Example(
            workflow(
                lasting("slow", 3000),
                lasting("quick", 10),
                node("end", "flow.return", output="done"),
                ways="quick > end",
            ),
            [
                "slow started",
                "quick started",
                "quick completed",
                "end started",
                "end completed",
                "slow cancelled returned",
                "completed",
            ],
        )
    ],
}  # fmt: skip


def played(pattern: str, example: Example) -> Play:
    definition = {**example.definition, "name": NAMES[pattern]}
    return Play(compile_workflow(definition, built_in_registry()), example.input)


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        pytest.param(pattern, example, id=f"{pattern} {NAMES[pattern]}")
        for pattern, examples in EXAMPLES.items()
        for example in examples
    ],
)
async def test_the_pattern_writes_its_events(pattern: str, example: Example) -> None:
    play = played(pattern, example)
    await play.to_end(example.answers)
    assert play.trace == example.expected


async def test_cancel_case() -> None:
    """WCP-20. Somebody from outside withdraws the whole execution."""
    play = played("WCP-20", Example(workflow(lasting("a", 3000), step("b"), ways="a > b"), []))
    play.begin()
    await play.until(lambda: "a started" in play.trace)
    play.cancel("withdrawn")
    await play.finish()
    assert play.trace == [
        "a started",
        "cancelRequested",
        "b cancelled request",
        "a cancelled request",
        "cancelled",
    ]


async def test_recursion() -> None:
    """WCP-22. The factorial: a workflow that runs itself for the number before, and ends at 1."""
    factorial = {
        **workflow(
            choice("more", "${ input > 1 }"),
            node("before", "flow.subflow", workflowId="factorial", recursion=4, input="${ input - 1 }"),
            node("times", "data.set", values={"n": "${ input * get(nodes.before.output, 1) }"}),
            node("one", "data.set", values={"n": 1}),
            ways="more:true > before > times; more:false > one",
        ),
        "id": "factorial",
        "name": NAMES["WCP-22"],
        "output": "${ get(nodes.times.output.n, 1) }",
    }
    nobody: Any = None
    registry = built_in_registry()
    laid_out = await Subflows(nobody, registry, DEFAULT_LIMITS).resolve(factorial, 1000, "default")
    graph = compile_workflow(laid_out.document, registry)
    play = Play(graph, 4)
    await play.to_end()
    assert play.output == 24
    depths = [line.count("before/") for line in play.trace if "more" in line and "completed true" in line]
    assert depths == [0, 1, 2], "it ran itself for 3, 2 and 1"
    beyond = Play(graph, 7)
    await beyond.to_end()
    assert beyond.trace[-1] == "failed SUBFLOW_TOO_DEEP"


@pytest.mark.parametrize("pattern", ["WCP-12", "WCP-34"])
async def test_instances_that_nobody_waits_for_are_executions_of_their_own(pattern: str) -> None:
    (example,) = EXAMPLES[pattern]
    play = played(pattern, example)
    await play.to_end(example.answers)
    children = [event for event in play.history if isinstance(event, ChildStarted)]
    given: list[Any] = [child.input for child in children]
    assert [value["item"] for value in given] == example.input
    assert not any(child.waits for child in children)


def test_the_covered_patterns_are_these() -> None:
    within_reach = {pattern["id"] for pattern in CATALOGUE["patterns"] if pattern["expressible"] == "yes"}
    covered = {*EXAMPLES, "WCP-20", "WCP-22"}
    assert sorted(covered, key=number) == [
        "WCP-1",
        "WCP-2",
        "WCP-3",
        "WCP-4",
        "WCP-5",
        "WCP-6",
        "WCP-7",
        "WCP-9",
        "WCP-11",
        "WCP-12",
        "WCP-13",
        "WCP-14",
        "WCP-20",
        "WCP-21",
        "WCP-22",
        "WCP-24",
        "WCP-29",
        "WCP-30",
        "WCP-32",
        "WCP-34",
        "WCP-35",
        "WCP-37",
        "WCP-43",
    ]
    assert covered == within_reach


def test_the_docs_tell_of_every_pattern() -> None:
    page = (ROOT / "docs/patterns.md").read_text()
    for pattern, name in NAMES.items():
        assert f"| {pattern} | {name} |" in page
    for pattern in CATALOGUE["patterns"]:
        row = next(line for line in page.splitlines() if line.startswith(f"| {pattern['id']} |"))
        told = row.split("|")[3].strip()
        assert told == pattern["expressible"], row


def number(pattern: str) -> int:
    return int(pattern.partition("-")[2])
