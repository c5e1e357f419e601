"""An engine that wants to know who is asking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import DESKTOP, Visitor
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser

TOKEN = "a-token-that-only-this-test-knows-0123456789"


@pytest.fixture
def guarded(stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """An executor and a gateway that ask for credentials; they share nothing with the others but Redis."""
    guarded = Stack(tmp_path, f"sqlite:///{tmp_path / 'guarded.db'}", stack.redis_url, FLOW_TOKEN=TOKEN)
    guarded.executor.start()
    guarded.gateway.start()
    yield guarded
    guarded.gateway.stop()
    guarded.executor.stop()


def test_a_token_signs_in_and_stays_out_of_reach_of_scripts(browser: Browser, guarded: Stack) -> None:
    context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]
    visitor = Visitor(context, guarded)
    visitor.expects(401, 403)
    page = visitor.open("executions")
    field = page.get_by_label("Access token")
    field.fill("something-else-entirely")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("This token is not accepted")).to_be_visible()
    field.fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Nothing has run yet")).to_be_visible()
    expect(page.get_by_text("admin")).to_be_visible()
    assert page.evaluate("document.cookie + JSON.stringify({...sessionStorage, ...localStorage})") == "{}"

    page.reload()
    expect(page.get_by_text("Nothing has run yet")).to_be_visible()

    page.get_by_role("link", name="Access").click()
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("watcher")
    page.get_by_role("button", name="Make it").click()
    secret = page.locator("dialog pre").inner_text()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("row", name="watcher")).to_contain_text("viewer")
    page.get_by_role("button", name="Sign out").click()
    field.fill(secret)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Workflows")).to_be_visible()
    expect(page.get_by_role("link", name="Access")).to_have_count(0)
    page.goto(f"{guarded.base_url}/#/workflows/new")
    expect(page.get_by_label("Definition, JSON")).to_be_visible()
    expect(page.get_by_role("button", name="Run …")).to_have_count(0)
    context.close()
    visitor.check()
