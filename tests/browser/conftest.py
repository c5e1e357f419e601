"""A real browser on a real stack: one of each for all tests."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.gate import Gate
from tests.infra.egress import LOOPBACK
from tests.infra.stack import Stack
from tests.infra.valkey import PrivateValkey

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1360, "height": 820}

expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all tests. Everything that takes `asyncio.run` to start is started before the browser."""
    folder = tmp_path_factory.mktemp("console")
    valkey = PrivateValkey(folder / "valkey")
    asyncio.run(valkey.start())
    settings = {"FLOW_LEASE_SECONDS": "5", "FLOW_SWEEP_INTERVAL_SECONDS": "0.2", **LOOPBACK}
    stack = Stack(folder, f"sqlite:///{folder / 'flow.db'}", valkey.url, **settings)
    try:
        yield stack.start()
    finally:
        stack.stop()
        # Not asyncio.run: the browser's own loop counts as running until the end of the session.
        loop = asyncio.new_event_loop()
        asyncio._set_running_loop(None)
        loop.run_until_complete(valkey.stop())
        loop.close()


@pytest.fixture(scope="session")
def browser(stack: Stack) -> Iterator[Browser]:
    """Started after the stack: Playwright keeps an event loop running in this thread."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert path, f"none of {', '.join(BROWSERS)} is installed"
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


class Visitor:
    """Somebody who uses the console, and notes what a page should never do."""

    def __init__(self, context: BrowserContext, stack: Stack) -> None:
        self.context = context
        self.stack = stack
        self.page: Page = context.new_page()
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.refused: set[int] = set()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def open(self, place: str = "") -> Page:
        """place: what stands behind `#/`."""
        self.page.goto(f"{self.stack.base_url}/#/{place}")
        return self.page

    def expects(self, *statuses: int) -> None:
        """These refusals belong to the test; browsers log each as an error. 0: no answer at all."""
        self.refused.update(statuses)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        cut_off = 0 in self.refused and "net::ERR_" in message.text
        if not cut_off and not any(f"status of {status} " in message.text for status in self.refused):
            self.errors.append(message.text)

    def check(self) -> None:
        assert self.errors == []
        assert {host for host in self.hosts if host} <= {urlsplit(self.stack.base_url).netloc}


@pytest.fixture
def visitor(browser: Browser, stack: Stack) -> Iterator[Visitor]:
    """Fails the test when the page logged an error or asked another host for anything."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")  # type: ignore[arg-type]
    visitor = Visitor(context, stack)
    yield visitor
    context.close()
    visitor.check()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of the pages go; not in git."""
    folder = Path(__file__).parents[2] / "reports" / "console"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
