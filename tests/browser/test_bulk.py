"""Acting on several runs at once."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.e2e.workflows import APPROVAL
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser


def test_some_are_ticked_and_paused_and_all_that_match_are_cancelled(visitor: Visitor, stack: Stack) -> None:
    workflow = {**APPROVAL, "id": "several"}
    runs = [stack.run(workflow, {"amount": n})["executionId"] for n in range(3)]
    for execution_id in runs:
        stack.until(execution_id, "waiting")
    page = visitor.open("executions?workflow=several")
    rows = page.locator("tr[data-execution]")
    expect(rows).to_have_count(3)
    for execution_id in runs[:2]:
        page.locator(f"[data-execution='{execution_id}']").get_by_role("checkbox").check()
    page.get_by_role("button", name="Pause 2").click()
    expect(page.locator("tr [data-status=paused]")).to_have_count(2)

    page.get_by_role("button", name="cancel …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("3 executions that match the filter would be affected")
    dialog.get_by_role("button", name="Cancel 3").click()
    expect(page.locator("tr [data-status=cancelled]")).to_have_count(3)
    assert {stack.execution(one)["status"] for one in runs} == {"cancelled"}
