"""Signing in, in a real browser: passkeys of a device that the browser plays, codes, and the account's pages."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import watched_page
from tests.browser.running import Platform, platform

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Platform]:
    with platform() as running:
        yield running


@pytest.fixture
def visit(browser: Browser, server: Platform) -> Iterator[Page]:
    # Passkeys are for names, and no address has one.
    context = browser.new_context(base_url=f"http://localhost:{server.port}", locale="en-GB")
    with watched_page(context, "status of 401") as page:
        yield page
    context.close()


def device(context: BrowserContext, page: Page) -> tuple[Any, str]:
    """A device with a passkey store, as good as one with a finger on it."""
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    added = session.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
    return session, added["authenticatorId"]


def by_password(page: Page, server: Platform) -> None:
    page.goto("/login/")
    page.get_by_label("Username").fill(server.name)
    page.get_by_label("Password").fill(server.password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(page: Page) -> None:
    page.locator(".menu-name").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def confirm(page: Page, server: Platform) -> None:
    page.get_by_label("Password").fill(server.password)
    page.get_by_role("button", name="Confirm").click()


def test_a_new_key_is_shown_once(visit: Page, server: Platform) -> None:
    by_password(visit, server)
    visit.locator(".menu-name").click()
    visit.get_by_role("link", name="Your account").click()
    visit.get_by_role("link", name="API keys").click()
    visit.get_by_role("textbox", name="Name").fill("nightly")
    visit.get_by_role("button", name="Make the key").click()
    assert re.fullmatch(r"\w{40}", visit.locator("#secret").inner_text())
    visit.goto("/account/keys/")
    expect(visit.get_by_text("nightly")).to_be_visible()
    expect(visit.locator("#secret")).to_have_count(0)


def test_a_passkey_is_added_signs_in_alone_and_is_removed(visit: Page, server: Platform) -> None:
    session, key = device(visit.context, visit)
    by_password(visit, server)
    expect(visit.get_by_role("heading", name="Home")).to_be_visible()
    visit.goto("/account/mfa/")
    visit.get_by_role("link", name="Add a passkey").click()
    confirm(visit, server)
    visit.get_by_label("Name").fill("My laptop")
    visit.get_by_role("button", name="Add a passkey").click()
    expect(visit.get_by_role("heading", name="Recovery codes")).to_be_visible()
    expect(visit.locator("#codes li")).to_have_count(10)
    visit.goto("/account/mfa/")
    expect(visit.get_by_text("My laptop")).to_be_visible()
    expect(visit.get_by_text("signs in alone")).to_be_visible()

    sign_out(visit)
    visit.get_by_role("button", name="Use a passkey").click()
    expect(visit.get_by_role("heading", name="Home")).to_be_visible()

    # With the password, the passkey is the second step; the password alone opens nothing.
    sign_out(visit)
    by_password(visit, server)
    expect(visit.get_by_role("heading", name="Second step")).to_be_visible()
    visit.goto("/robots/")
    expect(visit).to_have_url(re.compile("/login/second-step/"))
    visit.get_by_role("button", name="Use a passkey").click()
    expect(visit.get_by_role("heading", name="Home")).to_be_visible()

    # A device that has none says so.
    session.send("WebAuthn.clearCredentials", {"authenticatorId": key})
    session.send("WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False})
    sign_out(visit)
    visit.get_by_role("button", name="Use a passkey").click()
    expect(visit.locator("[data-passkey-error]")).to_contain_text("gave no passkey")
