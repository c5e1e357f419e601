"""Large graphs: they are there at once, they follow a run, and one can move in them meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.graph import GRAPH, place_of, wait_for_graph
from tests.browser.test_executions import started
from tests.infra.stack import Stack, eventually

pytestmark = pytest.mark.browser

MONTAGE = Path(__file__).parents[2] / "examples/montage-500.json"


def drag(page: Page, steps: int) -> None:
    box = page.locator(".graph").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(steps):
        page.mouse.move(x + step * 3, y + step)
    page.mouse.up()


def test_a_run_of_hundreds_of_nodes_is_followed_and_moved(visitor: Visitor, stack: Stack) -> None:
    workflow: dict[str, Any] = json.loads(MONTAGE.read_text())
    for node in workflow["nodes"]:
        node["config"]["durationMs"] = 20
    execution_id = started(stack, workflow)
    page = visitor.open(f"executions/{execution_id}")
    wait_for_graph(page)
    first = place_of(page, workflow["nodes"][0]["id"])
    drag(page, 20)
    moved = place_of(page, workflow["nodes"][0]["id"])
    assert moved["x"] - first["x"] == pytest.approx(57, abs=4)
    expect(page.locator("[data-run-status]")).to_have_attribute("data-run-status", "completed")
    states = f"""() => {{
      const graph = {GRAPH}.graph;
      return [...new Set(graph.order.map((id) => graph.look(id).status))];
    }}"""
    eventually(lambda: page.evaluate(states) == ["completed"], "every node looks completed")
    width, height = page.evaluate(f"[{GRAPH}.graph.layout.width, {GRAPH}.graph.layout.height]")
    assert 1 < width / height < 3, "folded to the shape of a screen"


def test_two_thousand_nodes_are_searched_and_moved(visitor: Visitor, stack: Stack) -> None:
    nodes = [
        {"id": f"n{n}", "type": "data.set", "config": {"values": {"n": n}}, "name": f"Node {n}"}
        for n in range(2000)
    ]
    edges = [{"source": f"n{n - 50}", "target": f"n{n}"} for n in range(50, 2000)]
    execution_id = started(stack, {"id": "thousands", "nodes": nodes, "edges": edges})
    page = visitor.open(f"executions/{execution_id}")
    wait_for_graph(page)
    assert page.evaluate(f"{GRAPH}.graph.order.length") == 2000
    page.get_by_label("Find a node").fill("n1777")
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_contain_text("Node 1777")
    box = page.locator(".graph").bounding_box()
    place = place_of(page, "n1777")
    assert box is not None
    assert box["x"] < place["x"] < box["x"] + box["width"]
    assert box["y"] < place["y"] < box["y"] + box["height"]
    drag(page, 20)
    assert place_of(page, "n1777")["x"] - place["x"] == pytest.approx(57, abs=4)
