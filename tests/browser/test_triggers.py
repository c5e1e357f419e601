"""Schedules and webhooks in the console."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser

ECHO = {
    "id": "echo",
    "name": "Echo",
    "nodes": [{"id": "a", "type": "flow.noop"}],
    "output": "${ input }",
}


def test_a_schedule_is_made_run_paused_and_deleted(visitor: Visitor, stack: Stack) -> None:
    visitor.expects(400)
    stack.call("POST", "/api/workflows", ECHO)
    page = visitor.open("triggers")
    page.get_by_role("button", name="New schedule").click()
    form = page.get_by_role("dialog", name="New schedule")
    form.get_by_label("Id", exact=True).fill("often")
    form.get_by_label("Workflow", exact=True).fill("echo")
    form.get_by_label("Cron").fill("61 * * * *")
    expect(form.get_by_role("status")).to_contain_text("minute")  # said while it is written
    form.get_by_label("Cron").fill("30 2 * * *")
    form.get_by_label("Time zone").fill("Europe/Berlin")
    expect(form.get_by_role("status")).to_contain_text(re.compile(r"Next in Europe/Berlin: .*02:30"))
    form.get_by_label("Input, JSON").fill('{"n": 9007199254740993}')
    form.get_by_role("button", name="Keep it").click()
    row = page.locator("tr[data-schedule=often]")
    expect(row).to_contain_text("none yet")

    row.get_by_role("button", name="Run now").click()
    expect(row).to_contain_text("started")
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")
    row.get_by_role("button", name="Slots").click()
    slots = page.get_by_role("dialog", name="Slots of often")
    expect(slots).to_contain_text("asked for")
    page.keyboard.press("Escape")
    row.get_by_role("button", name="Change").click()
    form = page.get_by_role("dialog", name="Change often")
    form.get_by_label("Jitter, seconds").fill("30")
    form.get_by_role("button", name="Keep it").click()
    expect(form).to_have_count(0)
    kept = stack.call("GET", "/api/triggers/schedules/often").json()
    assert (kept["paused"], kept["jitter"], kept["cron"]) == (True, 30_000, "30 2 * * *")
    assert kept["input"] == {"n": 9007199254740993}

    row.get_by_role("link", name="started").click()
    expect(page.locator("[data-run-status]")).to_have_attribute("data-run-status", "completed")
    page.go_back()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the schedule").click()
    expect(row).to_have_count(0)


def test_a_webhook_is_made_called_paused_and_deleted(visitor: Visitor, stack: Stack) -> None:
    visitor.expects(404)
    stack.call("POST", "/api/workflows", {**ECHO, "id": "echo-hook"})
    page = visitor.open("triggers?view=webhooks")
    page.get_by_role("button", name="New webhook").click()
    form = page.get_by_role("dialog", name="New webhook")
    form.get_by_label("Path").fill("orders")
    form.get_by_label("Workflow", exact=True).fill("no-such-workflow")
    form.get_by_role("button", name="Keep it").click()
    expect(form.get_by_role("alert")).to_contain_text("no-such-workflow")
    form.get_by_label("Workflow", exact=True).fill("echo-hook")
    form.get_by_role("button", name="Keep it").click()
    secret = page.locator("[data-secret]")
    expect(secret).to_contain_text("whsec_")
    first = secret.inner_text()
    page.get_by_role("button", name="Done").click()

    row = page.locator("tr[data-webhook=orders]")
    expect(row).to_contain_text(f"{stack.base_url}/hooks/orders")
    row.get_by_role("button", name="New secret").click()
    page.get_by_role("button", name="Make a new secret").click()
    expect(secret).to_contain_text("whsec_")
    assert secret.inner_text() != first
    page.get_by_role("button", name="Done").click()

    assert httpx.post(f"{stack.base_url}/hooks/orders", json={}).status_code == 401
    row.get_by_role("button", name="Change").click()
    form = page.get_by_role("dialog", name="Change orders")
    form.get_by_label("unsigned").check()
    form.get_by_role("button", name="Keep it").click()
    expect(row).to_contain_text("unsigned")
    answer = httpx.post(f"{stack.base_url}/hooks/orders", json={"id": 7})
    assert (answer.status_code, answer.json()["output"]["body"]) == (200, {"id": 7})
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_role("button", name="Resume")).to_be_visible()
    assert httpx.post(f"{stack.base_url}/hooks/orders", json={}).status_code == 404
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the webhook").click()
    expect(row).to_have_count(0)
