"""Answering in the console."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.e2e.test_asking import FORM
from tests.e2e.workflows import APPROVAL
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser


def test_an_approval_is_answered_in_the_inbox(visitor: Visitor, stack: Stack) -> None:
    page = visitor.open("inbox")
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    execution_id = stack.run(APPROVAL, {"amount": 417})["executionId"]
    task = page.get_by_role("button", name="Pay 417?")
    task.click()  # it comes by itself
    page.get_by_label("Comment optional").fill("grace")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(task).to_have_count(0)
    assert stack.until(execution_id, "completed", "failed")["output"] == {"by": "grace"}


def test_a_wrong_answer_is_refused_at_its_field(visitor: Visitor, stack: Stack) -> None:
    visitor.expects(400)
    execution_id = stack.run(FORM)["executionId"]
    stack.until(execution_id, "waiting")
    page = visitor.open(f"executions/{execution_id}")
    page.get_by_role("button", name="Answer").click()
    panel = page.locator("[data-panel=waiting]")
    panel.get_by_label("floor").fill("first")
    panel.get_by_role("button", name="Send the answer").click()
    field = panel.locator("[data-path='/floor']")
    expect(field).to_have_attribute("aria-invalid", "true")
    described = field.get_attribute("aria-describedby")
    expect(page.locator(f"#{described}")).to_contain_text("integer")
    expect(panel.get_by_text("/street")).to_be_visible()
    assert stack.execution(execution_id)["status"] == "waiting"


def test_a_form_is_answered_where_the_run_is_looked_at(visitor: Visitor, stack: Stack) -> None:
    form = {**FORM, "id": "whole-form"}
    schema = {
        "type": "object",
        "required": ["street", "floor", "speed"],
        "properties": {
            "street": {"type": "string", "title": "Street"},
            "floor": {"type": "integer", "title": "Floor"},
            "speed": {"enum": ["slow", "fast"], "title": "Speed"},
            "gift": {"type": "boolean", "title": "Is it a gift?"},
            "lines": {"type": "array", "title": "Lines", "items": {"type": "string"}},
        },
    }
    ask = {**FORM["nodes"][0], "config": {**FORM["nodes"][0]["config"], "schema": schema}}
    form["nodes"] = [ask, *FORM["nodes"][1:]]
    form["output"] = "${ nodes.ask.output }"
    execution_id = stack.run(form)["executionId"]
    page = visitor.open(f"executions/{execution_id}?step=ask")
    panel = page.locator("[data-panel=waiting]")
    panel.get_by_label("Street").fill("Elm")
    panel.get_by_label("Floor").fill("9007199254740993")
    panel.get_by_label("Speed").select_option("fast")
    panel.get_by_label("Is it a gift?").check()
    panel.get_by_role("button", name="Add").click()
    panel.get_by_role("group", name="Lines").get_by_role("textbox").fill("one")
    panel.get_by_role("button", name="Send the answer").click()
    expect(page.locator("[data-run-status]")).to_have_attribute("data-run-status", "completed")
    answer = {"street": "Elm", "floor": 9007199254740993, "speed": "fast", "gift": True, "lines": ["one"]}
    assert stack.execution(execution_id)["output"] == answer
