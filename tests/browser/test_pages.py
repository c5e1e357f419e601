"""Every page, light and dark, on a desk and on a phone: nothing serious for axe, no error in its log, and a
picture of each in reports/console."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, Visitor
from tests.browser.gate import Gate
from tests.browser.graph import wait_for_graph
from tests.e2e.test_asking import FORM
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser

EXAMPLES = Path(__file__).parents[2] / "examples"
PHONE = {"width": 390, "height": 844}
EVERY_PAGE = frozenset(
    "executions run-waiting run-failed run-loop run-large run-timeline run-steps run-events "
    "inbox workflows workflow triggers webhooks nodes stats workers access".split()
)


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def places(stack: Stack, gate: Gate) -> dict[str, str]:
    """What stands behind `#/` of a page of each kind, with something to see on it."""
    for name in ("api/nodes", "healthz", "readyz"):
        gate.open(name)
    order = stack.run(
        example("order-approval"),
        {**example("order-approval.input"), "baseUrl": gate.url},
        options={"tags": ["example"]},
    )["executionId"]
    pages = stack.run(
        example("foreach-http"), {"baseUrl": gate.url, "pages": ["/healthz", "/readyz", "/api/nodes"]}
    )["executionId"]
    montage = stack.run(example("montage-500"))["executionId"]
    failed = stack.run(
        {
            "id": "stock",
            "name": "Reserve stock",
            "nodes": [
                {"id": "look", "type": "data.set", "config": {"values": {"left": 0}}},
                {
                    "id": "reserve",
                    "type": "flow.fail",
                    "config": {"code": "NO_STOCK", "message": "there is none"},
                },
                {"id": "ship", "type": "flow.noop"},
            ],
            "edges": [{"source": "look", "target": "reserve"}, {"source": "reserve", "target": "ship"}],
        }
    )["executionId"]
    form = stack.run({**FORM, "id": "address", "name": "Ask for the address"})["executionId"]
    stored = {**example("order-approval"), "id": "pictured"}
    stack.call("POST", "/api/workflows", stored)
    nightly = {"workflowId": "pictured", "cron": "30 2 * * MON-FRI", "timeZone": "Europe/Berlin"}
    stack.call("PUT", "/api/triggers/schedules/pictured-nightly", nightly)
    stack.call("POST", "/api/triggers/schedules/pictured-nightly/run")
    stack.call("PUT", "/api/triggers/webhooks/pictured-orders", {"workflowId": "pictured"})
    for execution_id, status in (
        (order, "waiting"),
        (form, "waiting"),
        (pages, "completed"),
        (montage, "completed"),
    ):
        found = stack.until(execution_id, status, "failed")
        assert found["status"] == status, found
    return {
        "executions": "executions",
        "run-waiting": f"executions/{order}?step=approval",
        "run-failed": f"executions/{failed}",
        "run-loop": f"executions/{pages}?open=pages",
        "run-large": f"executions/{montage}",
        "run-timeline": f"executions/{pages}?view=timeline",
        "run-steps": f"executions/{pages}?view=steps",
        "run-events": f"executions/{pages}?view=events&event=4",
        "inbox": "inbox",
        "workflows": "workflows",
        "workflow": "workflows/pictured",
        "triggers": "triggers",
        "webhooks": "triggers?view=webhooks",
        "nodes": "nodes/human.input",
        "stats": "stats",
        "workers": "workers",
        "access": "access?view=audit",
    }


@pytest.fixture(params=["light-desktop", "dark-desktop", "light-phone", "dark-phone"])
def dressed(browser: Browser, stack: Stack, request: pytest.FixtureRequest) -> Iterator[tuple[str, Visitor]]:
    theme, device = request.param.split("-")
    phone = device == "phone"
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
        color_scheme=theme,
        reduced_motion="reduce",
        device_scale_factor=2 if phone else 1,
        is_mobile=phone,
        has_touch=phone,
    )
    visitor = Visitor(context, stack)
    yield request.param, visitor
    context.close()
    visitor.check()


def test_every_page_is_sound(dressed: tuple[str, Visitor], places: dict[str, str], screenshots: Path) -> None:
    dress, visitor = dressed
    found: list[str] = []
    for name, place in places.items():
        page = visitor.open(place)
        settled(page)
        page.screenshot(path=screenshots / f"{name}-{dress}.png")
        if name in examined(dress):
            found += [f"{name}: {violation}" for violation in serious(page)]
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} is {wide} px wider than the screen"
    assert found == []


def examined(dress: str) -> frozenset[str]:
    """Pages for axe: all on a desk, those that look different on a phone."""
    phone = frozenset({"executions", "run-waiting", "inbox", "workflow", "nodes"})
    return {"light-phone": phone, "dark-phone": frozenset()}.get(dress, EVERY_PAGE)


def settled(page: Page) -> None:
    """Returns when the page shows what it has."""
    expect(page.locator(".skeleton")).to_have_count(0)
    if page.locator(".graph").count():
        wait_for_graph(page)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def serious(page: Page) -> Iterator[str]:
    for violation in Axe().run(page).response["violations"]:
        if violation["impact"] in ("serious", "critical"):
            for node in violation["nodes"]:
                yield f"{violation['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
