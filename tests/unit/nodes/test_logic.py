from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from flow_engine.nodes.contract import Completed, NodeError, Opening, TimedOut, Waiting
from flow_engine.nodes.logic_foreach import LogicForeach
from tests.unit.nodes.contexts import completed, config, context, failed, node_type

# data.set


async def test_set_puts_out_its_values_as_they_are() -> None:
    values = {"big": 2**53 + 1, "bigger": 10**30, "nested": {"list": [1, 1.0, None, True]}, "": "empty key"}
    assert await completed("data.set", {"values": values}) == Completed(values)


# logic.if


@pytest.mark.parametrize(("condition", "handle"), [(True, "true"), (False, "false")])
async def test_if_goes_the_way_of_its_condition(condition: bool, handle: str) -> None:
    assert await completed("logic.if", {"condition": condition}) == Completed(condition, handle)


@pytest.mark.parametrize("condition", ["yes", "true", 1, 0, None, [], {}])
def test_if_takes_nothing_but_booleans(condition: Any) -> None:
    with pytest.raises(ValidationError):
        config("logic.if", {"condition": condition})


# logic.switch

CASES = [
    {"when": "${ input.total > 1000 }", "handle": "large"},
    {"when": "${ input.total > 100 }", "handle": "medium"},
    {"when": "${ input.total > 50 }", "handle": "alsoMedium"},
]


@pytest.mark.parametrize(
    ("total", "handle"), [(5000, "large"), (500, "medium"), (60, "alsoMedium"), (5, "default")]
)
async def test_switch_takes_the_first_case_that_holds(total: int, handle: str) -> None:
    outcome = await completed("logic.switch", {"cases": CASES}, scope={"input": {"total": total}})
    assert outcome == Completed({"handle": handle}, handle)


async def test_switch_does_not_evaluate_what_stands_behind_the_first_match() -> None:
    cases = [{"when": True, "handle": "first"}, {"when": "${ input.missing.deeply }", "handle": "broken"}]
    assert (await completed("logic.switch", {"cases": cases})).handle == "first"


@pytest.mark.parametrize(
    ("total", "handles"),
    [
        (5000, ("large", "medium", "alsoMedium")),
        (500, ("medium", "alsoMedium")),
        (60, ("alsoMedium",)),
        (5, ("default",)),
    ],
)
async def test_switch_takes_all_cases_that_hold_when_told_so(total: int, handles: tuple[str, ...]) -> None:
    outcome = await completed(
        "logic.switch", {"cases": CASES, "mode": "all"}, scope={"input": {"total": total}}
    )
    assert outcome == Completed({"handles": list(handles)}, handles=handles)


async def test_switch_takes_a_handle_that_several_cases_share_once() -> None:
    cases = [{"when": True, "handle": name} for name in ("a", "b", "a")]
    assert (await completed("logic.switch", {"cases": cases, "mode": "all"})).handles == ("a", "b")


async def test_switch_fails_on_a_condition_that_fails() -> None:
    failure = (
        await failed("logic.switch", {"cases": [{"when": "${ input.missing }", "handle": "x"}]})
    ).failure
    assert failure.code == "EXPRESSION_FAILED"
    assert not failure.retryable


async def test_switch_fails_on_a_condition_that_is_neither_true_nor_false() -> None:
    failure = (await failed("logic.switch", {"cases": [{"when": "${ input.total }", "handle": "x"}]})).failure
    assert failure.code == "EXPRESSION_FAILED"
    assert failure.message == "cases[0].when must give true or false, not a number"


def test_switch_names_its_handles_once_each_and_default_last() -> None:
    raw = {"cases": [{"when": True, "handle": name} for name in ("b", "a", "b")]}
    assert node_type("logic.switch").handles_of(raw) == ("b", "a", "default")


@pytest.mark.parametrize(
    "case",
    [
        {"when": "${ 1 + }", "handle": "a"},
        {"when": 1, "handle": "a"},
        {"when": True, "handle": "error"},
        {"when": True},
    ],
)
def test_switch_refuses_wrong_cases(case: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config("logic.switch", {"cases": [case]})


# logic.foreach


def test_foreach_opens_a_scope_for_each_item() -> None:
    opening = LogicForeach().open(config("logic.foreach", {"items": [3, 1, 2], "concurrency": 2}))  # type: ignore[arg-type]
    assert opening == Opening([3, 1, 2], concurrency=2)


def test_foreach_collects_errors_when_asked() -> None:
    opening = node_type("logic.foreach").open(
        config("logic.foreach", {"items": [], "onItemError": "collect"})
    )
    assert opening == Opening([], collect_errors=True)


def test_foreach_over_the_limit_fails_before_its_first_item() -> None:
    raw = {"items": [1, 2, 3], "maxIterations": 2}
    with pytest.raises(NodeError) as caught:
        node_type("logic.foreach").open(config("logic.foreach", raw))
    assert caught.value.failure.code == "ITERATION_LIMIT"
    assert caught.value.failure.details == {"items": 3, "maxIterations": 2}


def test_foreach_has_a_limit_of_its_own() -> None:
    with pytest.raises(NodeError):
        node_type("logic.foreach").open(config("logic.foreach", {"items": [0] * 10_001}))


@pytest.mark.parametrize("items", [{"a": 1}, "abc", 3, None])
def test_foreach_takes_nothing_but_lists(items: Any) -> None:
    with pytest.raises(ValidationError):
        config("logic.foreach", {"items": items})


@pytest.mark.parametrize(
    ("raw", "rounds"),
    [
        ({"items": []}, 0),
        ({"items": [1, 2, 3]}, 3),
        ({"items": [1, 2, 3], "concurrency": 2}, 2),
        ({"items": "${ input.list }"}, 10),
        ({"items": "${ input.list }", "concurrency": 5}, 2),
    ],
)
def test_foreach_estimates_its_rounds(raw: dict[str, Any], rounds: float) -> None:
    assert node_type("logic.foreach").typical_iterations(raw) == rounds


# logic.delay


async def test_a_short_delay_is_slept_through() -> None:
    assert await completed("logic.delay", {"durationMs": 1}) == Completed({"durationMs": 1})


def test_no_delay_does_not_suspend() -> None:
    running = node_type("logic.delay").run(context(), config("logic.delay", {"durationMs": 0}))
    with pytest.raises(StopIteration):
        running.send(None)


async def test_a_long_delay_is_a_timer() -> None:
    delay, long = node_type("logic.delay"), config("logic.delay", {"durationMs": 5001})
    assert await delay.run(context(), long) == Waiting(timeout_ms=5001)
    assert await delay.resume(context(), long, TimedOut()) == Completed({"durationMs": 5001})


@pytest.mark.parametrize("duration", [-1, 365 * 24 * 3600 * 1000 + 1, 0.5, "soon", None])
def test_delay_refuses_impossible_durations(duration: Any) -> None:
    with pytest.raises(ValidationError):
        config("logic.delay", {"durationMs": duration})


def test_delay_takes_as_long_as_it_says() -> None:
    assert node_type("logic.delay").typical_ms({"durationMs": 40_000}) == 40_000
