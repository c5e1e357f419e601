"""Seeing and steering runs in the console."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.gate import Gate
from tests.browser.graph import click_node, wait_for_colour, wait_for_graph
from tests.e2e.workflows import Workflow
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser


def gated(gate: Gate, *names: str) -> Workflow:
    """One call after another, each held until its gate opens."""
    nodes = [{"id": name, "type": "http.request", "config": {"url": f"{gate.url}/{name}"}} for name in names]
    edges = [{"source": a, "target": b} for a, b in pairwise(names)]
    return {"id": f"gated-{names[0]}", "nodes": nodes, "edges": edges}


def started(stack: Stack, workflow: Workflow, value: object = None, mode: str = "queued") -> str:
    answer = stack.run(workflow, value, mode=mode, headers={"Prefer": "respond-async"})
    assert answer["httpStatus"] == 202, answer
    return str(answer["executionId"])


def test_nodes_change_colour_as_the_run_goes_on(visitor: Visitor, stack: Stack, gate: Gate) -> None:
    execution_id = started(stack, gated(gate, "one", "two"))
    page = visitor.open(f"executions/{execution_id}")
    wait_for_graph(page)
    wait_for_colour(page, "one", "running")
    wait_for_colour(page, "two", "pending")
    gate.open("one")
    wait_for_colour(page, "one", "completed")
    wait_for_colour(page, "two", "running")
    gate.open("two")
    wait_for_colour(page, "two", "completed")
    expect(page.locator("[data-run-status]")).to_have_attribute("data-run-status", "completed")


def test_a_run_appears_in_the_list_by_itself_and_can_be_filtered(visitor: Visitor, stack: Stack) -> None:
    page = visitor.open("executions?workflow=listed")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    workflow = {"id": "listed", "nodes": [{"id": "a", "type": "flow.noop"}], "edges": []}
    execution_id = stack.run(workflow)["executionId"]
    row = page.locator(f"[data-execution='{execution_id}']")
    expect(row).to_contain_text("completed")
    page.get_by_role("button", name="failed", exact=True).click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="failed", exact=True).click()
    row.get_by_role("link").click()
    expect(page).to_have_url(re.compile(execution_id))


def test_a_loop_opens_and_shows_its_iterations(visitor: Visitor, stack: Stack) -> None:
    loop = {
        "id": "loop",
        "nodes": [
            {"id": "each", "type": "logic.foreach", "config": {"items": "${ input.items }"}},
            {"id": "one", "type": "data.set", "parentId": "each", "config": {"values": {"got": "${ item }"}}},
        ],
        "edges": [],
    }
    execution_id = stack.run(loop, {"items": ["a", "b", "c"]})["executionId"]
    page = visitor.open(f"executions/{execution_id}")
    wait_for_graph(page)
    click_node(page, "each")
    inspector = page.get_by_role("complementary")
    expect(inspector).to_contain_text("3 iterations: 3 completed")
    inspector.get_by_role("button", name="Open in the graph").click()
    wait_for_colour(page, "one", "completed")
    click_node(page, "one")
    expect(inspector.get_by_text("Iteration 1 of 3")).to_be_visible()
    inspector.get_by_role("button", name="Next iteration").click()
    expect(inspector.get_by_role("tree", name="Output")).to_contain_text('got: "b"')
    inspector.get_by_role("button", name="Iteration 3, completed").click()
    expect(inspector.get_by_role("tree", name="Output")).to_contain_text('got: "c"')


def test_a_run_is_paused_resumed_cancelled_and_retried_from_a_node(
    visitor: Visitor, stack: Stack, gate: Gate
) -> None:
    execution_id = started(stack, gated(gate, "p1", "p2", "p3"))
    gate.wait_for("p1")
    page = visitor.open(f"executions/{execution_id}")
    status = page.locator("[data-run-status]")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("It pauses as soon as its running steps are done")).to_be_visible()
    gate.open("p1")
    expect(status).to_have_attribute("data-run-status", "paused")
    page.get_by_role("button", name="Resume").click()
    gate.wait_for("p2")
    expect(status).to_have_attribute("data-run-status", "running")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_label("Reason, for the history (optional)").fill("enough")
    page.get_by_role("button", name="Cancel the execution").click()
    expect(status).to_have_attribute("data-run-status", "cancelled")
    expect(page.get_by_text("Cancelled: enough.")).to_be_visible()

    gate.open("p2")
    gate.open("p3")
    wait_for_graph(page)
    click_node(page, "p2")
    page.get_by_role("button", name="Retry from this node").click()
    expect(page).not_to_have_url(re.compile(execution_id))
    expect(status).to_have_attribute("data-run-status", "completed")
    click_node(page, "p1")
    expect(page.get_by_text("kept from the run before")).to_be_visible()


def test_a_page_that_was_cut_off_catches_up(visitor: Visitor, stack: Stack, gate: Gate) -> None:
    visitor.expects(0)
    execution_id = started(stack, gated(gate, "c1", "c2"))
    page = visitor.open(f"executions/{execution_id}")
    wait_for_graph(page)
    wait_for_colour(page, "c1", "running")
    stack.gateway.stop()
    expect(page.get_by_text("The gateway does not answer")).to_be_visible()
    gate.open("c1")
    gate.wait_for("c2")
    gate.open("c2")
    stack.gateway.start()
    wait_for_colour(page, "c2", "completed")
    expect(page.locator("[data-run-status]")).to_have_attribute("data-run-status", "completed")
    expect(page.get_by_text("The gateway does not answer")).to_be_hidden()
    page.get_by_role("tab", name="Events").click()
    count = len(stack.events(execution_id))
    expect(page.get_by_role("region", name="Events").get_by_role("button")).to_have_count(count)
