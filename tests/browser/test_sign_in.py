"""An engine that wants to know who is asking."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import DESKTOP, Visitor
from tests.infra.identity_provider import AUDIENCE, CLIENT, IdentityProvider, identity_provider
from tests.infra.stack import Stack

pytestmark = pytest.mark.browser

TOKEN = "a-token-that-only-this-test-knows-0123456789"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def guarded(
    stack: Stack, provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """An executor and a gateway that ask for credentials; they share nothing with the others but Redis."""
    folder = tmp_path_factory.mktemp("guarded")
    guarded = Stack(
        folder,
        f"sqlite:///{folder / 'guarded.db'}",
        stack.redis_url,
        FLOW_TOKEN=TOKEN,
        FLOW_OIDC_ISSUER=provider.issuer,
        FLOW_OIDC_AUDIENCE=AUDIENCE,
        FLOW_OIDC_CLIENT_ID=CLIENT,
    )
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
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("This token is not accepted")).to_be_visible()
    field.fill(TOKEN)
    page.get_by_role("button", name="Sign in", exact=True).click()
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
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("link", name="Workflows")).to_be_visible()
    expect(page.get_by_role("link", name="Access")).to_have_count(0)
    page.goto(f"{guarded.base_url}/#/workflows/new")
    expect(page.get_by_label("Definition, JSON")).to_be_visible()
    expect(page.get_by_role("button", name="Run …")).to_have_count(0)
    context.close()
    visitor.check()


def test_a_person_signs_in_with_the_identity_provider(
    browser: Browser, guarded: Stack, provider: IdentityProvider
) -> None:
    provider.people["ann"] = {"flow_role": "viewer", "flow_namespace": "default"}
    context = browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type]
    visitor = Visitor(context, guarded)
    visitor.expects(401, 404)
    page = visitor.open("stats")
    host = urlsplit(provider.issuer).netloc
    enter = page.get_by_role("button", name=f"Sign in with {host}")

    enter.click()
    page.get_by_role("button", name="No").click()
    expect(page.get_by_text("You did not want to.")).to_be_visible()

    enter.click()
    page.get_by_label("Name").fill("mallory")
    page.get_by_role("button", name="Let me in").click()
    expect(page.get_by_text("the token's claim flow_role is none of")).to_be_visible()

    enter.click()
    page.get_by_label("Name").fill("ann")
    page.get_by_role("button", name="Let me in").click()
    expect(page.get_by_text("oidc:ann, viewer")).to_be_visible()
    assert page.url == f"{guarded.base_url}/#/stats", "back where it began, and without the code"
    assert page.evaluate("document.cookie + JSON.stringify({...sessionStorage, ...localStorage})") == "{}"

    page.goto(f"{guarded.base_url}/?code=stolen&state=made-up#/stats")
    expect(page.get_by_text("This sign-in was not begun here")).to_be_visible()
    page.reload()
    expect(page.get_by_text("oidc:ann, viewer")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(enter).to_be_visible()
    context.close()
    assert visitor.errors == []
    assert visitor.hosts <= {urlsplit(guarded.base_url).netloc, host, ""}
