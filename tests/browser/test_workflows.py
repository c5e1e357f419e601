"""Writing and starting workflows in the console."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.gate import Gate
from tests.browser.graph import wait_for_colour, wait_for_graph
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser

EDITOR = "Definition, JSON"


def write(page: Page, text: str) -> None:
    page.get_by_label(EDITOR).fill(text)


def test_a_run_is_started_from_the_console_and_watched(visitor: Visitor, stack: Stack, gate: Gate) -> None:
    page = visitor.open("workflows/new")
    workflow = {
        "id": "from-console",
        "inputSchema": {
            "type": "object",
            "required": ["gate"],
            "properties": {"gate": {"type": "string", "title": "Gate"}},
        },
        "nodes": [
            {"id": "call", "type": "http.request", "config": {"url": f"{gate.url}/${{ input.gate }}"}},
            {"id": "after", "type": "data.set", "config": {"values": {"done": True}}},
        ],
        "edges": [{"source": "call", "target": "after"}],
    }
    write(page, json.dumps(workflow, indent=2))
    expect(page.locator("[data-verdict=valid]")).to_contain_text("Would run immediate")
    page.get_by_role("button", name="Run …").click()
    page.get_by_label("Gate").fill("console")
    page.get_by_role("button", name="Run it").click()
    expect(page).to_have_url(re.compile("#/executions/"))
    gate.wait_for("console")
    wait_for_graph(page)
    wait_for_colour(page, "call", "running")
    gate.open("console")
    wait_for_colour(page, "after", "completed")
    expect(page.get_by_text("Why immediate")).to_be_visible()


def test_a_mistake_is_marked_at_its_place(visitor: Visitor) -> None:
    page = visitor.open("workflows/new?from=loop")
    expect(page.locator("[data-verdict=valid]")).to_be_visible()
    text = page.get_by_label(EDITOR).input_value()
    broken = text.replace('"type": "logic.foreach"', '"type": "logic.forech"')
    assert broken != text
    write(page, broken)
    expect(page.locator("[data-verdict=invalid]")).to_be_visible()
    line = next(n for n, row in enumerate(broken.splitlines(), 1) if "forech" in row)
    expect(page.locator(".editor-gutter .marked").first).to_have_text(str(line))
    problems = page.get_by_role("list", name="Problems")
    expect(problems).to_contain_text("did you mean 'logic.foreach'?")
    problems.get_by_role("button").first.click()
    selected = page.evaluate("() => getSelection().toString()")
    assert selected == '"logic.forech"'
    expect(page.get_by_role("button", name="Run …")).to_be_disabled()

    write(page, text.rstrip().removesuffix("}"))
    expect(page.locator("[data-verdict=syntax]")).to_contain_text("a closing } is missing")
    write(page, text)
    expect(page.locator("[data-verdict=valid]")).to_be_visible()


def test_versions_are_stored_and_looked_at(visitor: Visitor, stack: Stack) -> None:
    page = visitor.open("workflows/new")
    text = page.get_by_label(EDITOR).input_value().replace('"hello"', '"greeting"')
    write(page, text)
    page.get_by_role("button", name="Store").click()
    expect(page).to_have_url(re.compile("#/workflows/greeting"))
    expect(page.get_by_label("Version")).to_have_value("1")
    write(page, page.get_by_label(EDITOR).input_value().replace("Hello $", "Good day $"))
    expect(page.locator("[data-verdict=valid]")).to_be_visible()
    page.get_by_role("button", name="Store as a new version").click()
    expect(page.get_by_label("Version")).to_have_value("2")
    page.get_by_label("Version").select_option("1")
    expect(page.get_by_label(EDITOR)).to_have_value(re.compile("Hello"))
    page.get_by_role("link", name="All workflows").click()
    expect(page.get_by_role("link", name="Hello")).to_be_visible()
    stored = stack.call("GET", "/api/workflows/greeting").json()
    assert stored["version"] == 2
