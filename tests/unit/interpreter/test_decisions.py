"""Graph and history in, commands out."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.interpreter.decisions import decide
from flow_engine.interpreter.state import CorruptHistory
from tests.unit.interpreter.play import compiled, node, workflow
from tests.unit.interpreter.told import orders, past

IF = node("if", "logic.if", condition="${ input.x }")
SWITCH = node("sw", "logic.switch", cases=[{"when": "${ input.x }", "handle": "one"}])
APPROVAL = node("ask", "human.approval", title="May it?")


def work(node_id: str, **fields: Any) -> dict[str, Any]:
    return node(node_id, "test.work", **fields)


def loop(node_id: str, **fields: Any) -> dict[str, Any]:
    return node(node_id, "logic.foreach", items="${ input }", **fields)


CHAIN = workflow(work("a"), work("b"), ways="a > b")
FORK = workflow(work("a"), work("b"), work("c"), work("d"), ways="a > b > d; a > c > d")
BRANCH = workflow(IF, work("t"), work("f"), work("end"), ways="if:true > t > end; if:false > f > end")
PARALLEL = workflow(work("a"), work("b"), work("c"))
HANDLED = workflow(work("a"), work("ok"), work("bad"), ways="a > ok; a:error > bad")
ONWARD = workflow(work("a", onError="continue"), work("b"), ways="a > b")
ANY = workflow(work("a"), work("b"), work("j", join="any"), ways="a > j; b > j")
TWO = workflow(work("a"), work("b"), work("c"), work("j", join=2), ways="a > j; b > j; c > j")
ONCE = workflow(work("a"), work("once", atMostOnce=True), work("b"), ways="once > b")
EACH = workflow(loop("each"), work("x", parentId="each"), work("y", parentId="each"), ways="x > y")
AROUND = workflow(
    loop("outer"),
    loop("inner", parentId="outer"),
    work("x", parentId="inner"),
    work("after"),
    ways="outer > after",
)


@pytest.mark.parametrize(
    ("definition", "history", "expected"),
    [
        pytest.param(CHAIN, [], ["run a"], id="roots run first"),
        pytest.param(CHAIN, ["a started"], [], id="a running step is waited for"),
        pytest.param(CHAIN, ["a completed"], ["run b"], id="a taken edge makes ready"),
        pytest.param(CHAIN, ["a completed", "b completed"], ["complete"], id="all decided completes"),
        pytest.param(CHAIN, ["a completed", "b completed", "completed"], [], id="the end is the end"),
        pytest.param(FORK, ["a completed"], ["run b", "run c"], id="branches run together, in order"),
        pytest.param(FORK, ["a completed", "b completed"], ["run c"], id="all waits for every branch"),
        pytest.param(
            FORK, ["a completed", "c completed", "b completed"], ["run d"], id="in whatever order they end"
        ),
        pytest.param(PARALLEL, ["b started"], ["run a", "run c"], id="roots run concurrently"),
        # choices
        pytest.param(BRANCH, ["if completed true"], ["skip f", "run t"], id="if takes one way"),
        pytest.param(BRANCH, ["if completed false"], ["skip t", "run f"], id="or the other"),
        pytest.param(
            BRANCH,
            ["if completed true", "f skipped", "t completed"],
            ["run end"],
            id="a merge does not wait for what was not taken",
        ),
        pytest.param(
            workflow(
                SWITCH,
                work("one"),
                work("else"),
                work("always"),
                ways="sw:one > one; sw:default > else; sw > always",
            ),
            ["sw completed one"],
            ["skip else", "run one", "run always"],
            id="an edge without handle is always taken",
        ),
        pytest.param(
            workflow(IF, work("a"), work("b"), work("c"), ways="if:true > a > b > c"),
            ["if completed false", "a skipped"],
            ["skip b"],
            id="skipping goes on downstream",
        ),
        pytest.param(
            workflow(IF, work("a"), work("b"), ways="if:true > a > b; if > b"),
            ["if completed false"],
            ["skip a"],
            id="one of two ways is not yet decided",
        ),
        pytest.param(
            workflow(IF, work("a"), work("b"), ways="if:true > a > b; if > b"),
            ["if completed false", "a skipped"],
            ["run b"],
            id="one taken edge of several suffices when all are decided",
        ),
        # joins
        pytest.param(ANY, ["a completed"], ["run b", "run j"], id="any is content with the first"),
        pytest.param(ANY, ["a completed", "j started"], ["run b"], id="and siblings run on"),
        pytest.param(
            ANY, ["a completed", "j completed", "b completed"], ["complete"], id="late arrivals are ignored"
        ),
        pytest.param(ANY, ["a skipped"], ["run b"], id="any still hopes"),
        pytest.param(ANY, ["a skipped", "b skipped"], ["skip j"], id="any without any is skipped"),
        pytest.param(TWO, ["a completed"], ["run b", "run c"], id="two wants two"),
        pytest.param(TWO, ["a completed", "c completed"], ["run b", "run j"], id="two has two"),
        pytest.param(TWO, ["a skipped", "b started"], ["run c"], id="two of three may still come"),
        pytest.param(
            TWO,
            ["a skipped", "b skipped", "c started"],
            ["skip j"],
            id="skipped once two cannot come any more",
        ),
        # failure
        pytest.param(
            HANDLED, ["a failed BROKEN branch"], ["skip ok", "run bad"], id="branch takes error edges"
        ),
        pytest.param(HANDLED, ["a completed"], ["skip bad", "run ok"], id="success takes the others"),
        pytest.param(ONWARD, ["a failed BROKEN continue"], ["run b"], id="continue goes on"),
        pytest.param(
            workflow(
                node("if2", "logic.if", condition=True, onError="continue"),
                work("t"),
                work("b"),
                ways="if2:true > t; if2 > b",
            ),
            ["if2 failed BROKEN continue"],
            ["skip t", "run b"],
            id="continue takes edges without handle only",
        ),
        pytest.param(
            PARALLEL,
            ["a started", "b failed BROKEN"],
            ["cancel a siblingFailed", "cancel c siblingFailed"],
            id="an unhandled failure stops the siblings, and what never began",
        ),
        pytest.param(
            PARALLEL,
            ["a started", "b failed BROKEN", "c failed LATER", "a cancelled siblingFailed"],
            ["fail BROKEN"],
            id="the first failure wins",
        ),
        pytest.param(
            ONCE,
            ["a failed BROKEN", "once started"],
            ["cancel b siblingFailed"],
            id="what must not run twice is let finish",
        ),
        pytest.param(
            ONCE,
            ["once started", "a failed BROKEN", "once completed", "b cancelled siblingFailed"],
            ["fail BROKEN"],
            id="and then the execution fails",
        ),
        pytest.param(
            ONCE,
            ["a started", "once started", "cancelRequested"],
            ["cancel a request", "cancel once request", "cancel b request"],
            id="a request interrupts it too",
        ),
        # waits
        pytest.param(workflow(APPROVAL), ["ask started", "ask waiting"], [], id="a question waits"),
        pytest.param(
            workflow(APPROVAL),
            ["ask started", "ask waiting", "ask answered"],
            ["resume ask"],
            id="an answer wakes",
        ),
        pytest.param(
            workflow(APPROVAL),
            ["ask started", "ask waiting", "ask answered", "ask answered", "ask timer"],
            ["resume ask"],
            id="once",
        ),
        pytest.param(
            workflow(APPROVAL),
            ["ask started", "ask waiting 60", "ask timer"],
            ["resume ask"],
            id="so does a timer",
        ),
        pytest.param(
            workflow(APPROVAL),
            ["ask started", "ask waiting 60", "ask timer 2"],
            [],
            id="the timer of another attempt does not",
        ),
        pytest.param(CHAIN, ["a started", "a retrying BROKEN 60"], [], id="back-off is waited for"),
        pytest.param(
            CHAIN, ["a started", "a retrying BROKEN 60", "a timer"], ["run a"], id="then it runs again"
        ),
        # control
        pytest.param(FORK, ["a completed", "pauseRequested"], [], id="a pause starts nothing"),
        pytest.param(
            FORK, ["a completed", "pauseRequested", "resumed"], ["run b", "run c"], id="a resumption does"
        ),
        pytest.param(
            BRANCH,
            ["if started", "pauseRequested", "if completed true"],
            ["skip f"],
            id="facts are facts in a pause",
        ),
        pytest.param(
            workflow(APPROVAL),
            ["ask started", "ask waiting", "paused", "ask answered"],
            [],
            id="an answer waits for the end of the pause",
        ),
        pytest.param(
            workflow(APPROVAL),
            ["ask started", "ask waiting", "paused", "ask answered", "resumed"],
            ["resume ask"],
            id="and acts then",
        ),
        pytest.param(
            CHAIN, ["a completed", "b completed", "pauseRequested"], ["complete"], id="finishing is allowed"
        ),
        pytest.param(
            CHAIN,
            ["a started", "cancelRequested"],
            ["cancel a request", "cancel b request"],
            id="a cancellation interrupts",
        ),
        pytest.param(
            CHAIN,
            ["a started", "pauseRequested", "cancelRequested", "a cancelled request", "b cancelled request"],
            ["cancel"],
            id="and ends even what is paused",
        ),
        pytest.param(
            CHAIN,
            ["a completed", "b completed", "cancelRequested"],
            ["cancel"],
            id="a cancellation outranks the end",
        ),
        # loops
        pytest.param(EACH, [], ["run each"], id="a loop begins"),
        pytest.param(EACH, ["each started 3 items"], ["run x[0]"], id="one iteration at a time"),
        pytest.param(EACH, ["each started 3 items, 2 at once"], ["run x[0]", "run x[1]"], id="or several"),
        pytest.param(EACH, ["each started 0 items"], ["complete each"], id="an empty list is done"),
        pytest.param(
            EACH, ["each started 3 items", "x[0] completed"], ["run y[0]"], id="iterations go on inside"
        ),
        pytest.param(
            EACH,
            ["each started 3 items", "x[0] completed", "y[0] completed"],
            ["run x[1]"],
            id="the next iteration starts when one is over",
        ),
        pytest.param(
            EACH,
            ["each started 1 items", "x[0] completed", "y[0] completed"],
            ["complete each"],
            id="the loop is over with its last",
        ),
        pytest.param(
            EACH,
            ["each started 3 items, 2 at once", "x[0] started", "x[1] failed BROKEN"],
            ["cancel y[1] siblingFailed"],
            id="a failed iteration cancels the rest of itself first",
        ),
        pytest.param(
            EACH,
            [
                "each started 3 items, 2 at once",
                "x[0] started",
                "x[1] failed BROKEN",
                "y[1] cancelled siblingFailed",
            ],
            ["cancel x[0] siblingFailed", "cancel y[0] siblingFailed"],
            id="then the other iterations",
        ),
        pytest.param(
            EACH,
            ["each started 1 items", "x[0] failed BROKEN", "y[0] cancelled siblingFailed"],
            ["fail each BROKEN"],
            id="then the loop fails",
        ),
        pytest.param(
            EACH,
            ["each started 2 items, collect", "x[0] failed BROKEN", "y[0] cancelled siblingFailed"],
            ["run x[1]"],
            id="collect goes on",
        ),
        pytest.param(
            EACH,
            ["each started 3 items, 2 at once", "x[0] started", "cancelRequested"],
            ["cancel x[0] request", "cancel y[0] request", "cancel x[1] request", "cancel y[1] request"],
            id="a cancellation reaches into iterations",
        ),
        pytest.param(
            EACH,
            ["each started 1 items", "cancelRequested", "x[0] cancelled request", "y[0] cancelled request"],
            ["cancel each request"],
            id="and then ends the loop",
        ),
        pytest.param(
            AROUND, ["outer started 2 items", "inner[0] started 2 items"], ["run x[0,0]"], id="loops nest"
        ),
        pytest.param(
            AROUND,
            ["outer started 2 items", "inner[0] started 1 items", "x[0,0] completed", "inner[0] completed"],
            ["run inner[1]"],
            id="the inner loop starts anew in each iteration",
        ),
        pytest.param(
            AROUND,
            ["outer started 1 items", "inner[0] started 1 items", "x[0,0] failed BROKEN"],
            ["fail inner[0] BROKEN"],
            id="failure climbs to the inner loop",
        ),
        pytest.param(
            AROUND,
            [
                "outer started 1 items",
                "inner[0] started 1 items",
                "x[0,0] failed BROKEN",
                "inner[0] failed BROKEN",
            ],
            ["fail outer BROKEN"],
            id="and to the outer",
        ),
        pytest.param(
            AROUND,
            [
                "outer started 1 items",
                "inner[0] started 1 items",
                "x[0,0] failed BROKEN",
                "inner[0] failed BROKEN",
                "outer failed BROKEN",
            ],
            ["cancel after siblingFailed"],
            id="and stops what comes after",
        ),
        # parallelism
        pytest.param({**PARALLEL, "maxParallel": 2}, [], ["run a", "run b"], id="maxParallel holds back"),
        pytest.param(
            {**PARALLEL, "maxParallel": 1},
            ["a started", "a waiting 60"],
            ["run b"],
            id="waiting steps do not count",
        ),
        pytest.param(
            {**PARALLEL, "maxParallel": 1},
            ["a started", "a retrying BROKEN 9"],
            ["run b"],
            id="nor does back-off",
        ),
        pytest.param(
            {**EACH, "maxParallel": 2},
            ["each started 9 items, 9 at once"],
            ["run x[0]", "run x[1]"],
            id="containers do not count",
        ),
    ],
)
def test_what_follows_from_what_has_happened(
    definition: dict[str, Any], history: list[str], expected: list[str]
) -> None:
    assert orders(decide(compiled(definition), past(*history))) == expected


def test_an_event_of_a_foreign_node_is_corrupt_history() -> None:
    with pytest.raises(CorruptHistory, match="'nobody'"):
        decide(compiled(CHAIN), past("nobody started"))


def test_an_event_at_an_impossible_iteration_is_corrupt_history() -> None:
    with pytest.raises(CorruptHistory):
        decide(compiled(CHAIN), past("a[3] started"))
