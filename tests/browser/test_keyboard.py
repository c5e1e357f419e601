"""The main path without a mouse."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.graph import wait_for_graph
from tests.e2e.workflows import APPROVAL
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser


def tab_to(page: Page, selector: str) -> None:
    for _ in range(60):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never gets to {selector}")


def test_a_run_is_found_read_and_answered_without_a_mouse(visitor: Visitor, stack: Stack) -> None:
    execution_id = stack.run({**APPROVAL, "id": "by-keyboard"}, {"amount": 5})["executionId"]
    stack.until(execution_id, "waiting")
    page = visitor.open("stats")
    expect(page.get_by_role("heading", name="Stats")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.get_by_role("heading", name="Executions")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("by-keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-execution]")).to_have_count(1)
    tab_to(page, "a.row-link")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(execution_id))
    wait_for_graph(page)

    tab_to(page, "[role=application]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("complementary", name="Step")).to_contain_text("human.approval")
    page.keyboard.press("Enter")
    tab_to(page, "textarea")
    page.keyboard.type("by hand")
    tab_to(page, ".answer .button.primary")
    page.keyboard.press("Enter")
    expect(page.locator("[data-run-status]")).to_have_attribute("data-run-status", "completed")
    assert stack.execution(execution_id)["output"] == {"by": "by hand"}


def test_focus_stays_in_a_dialog_and_escape_closes_it(visitor: Visitor) -> None:
    page = visitor.open("executions")
    expect(page.get_by_role("heading", name="Executions")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
