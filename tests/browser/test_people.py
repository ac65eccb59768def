"""What scripts do on the pages of people, on a real server; and that these pages do without them."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import watched_page
from tests.browser.running import Platform, platform
from tests.browser.test_pages import WAIT, sign_in, start, status


@pytest.fixture(scope="module")
def server() -> Iterator[Platform]:
    with platform() as running:
        yield running


@pytest.fixture(scope="module")
def signed_in(browser: Browser, server: Platform) -> Iterator[BrowserContext]:
    """A session of alice's, which the tests share."""
    context = browser.new_context(base_url=server.url, locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    sign_in(context, server)
    yield context
    context.close()


@pytest.fixture
def site(signed_in: BrowserContext) -> Iterator[Page]:
    with watched_page(signed_in) as opened:
        opened.goto("/enterprises/1/")
        yield opened


def make_space(site: Page, name: str) -> None:
    """A space of the demo's enterprise; the page is then its overview."""
    site.goto("/spaces/new/?enterprise=1")
    site.get_by_label("Name").fill(name)
    site.get_by_role("button", name="Create the space").click()
    expect(site.get_by_role("heading", name=name, level=1)).to_be_visible()


def test_what_cannot_be_taken_back_wants_the_name(site: Page) -> None:
    make_space(site, "Short lived")
    site.get_by_role("link", name="Settings").click()
    site.get_by_role("link", name="Delete…").click()
    button = site.get_by_role("button", name="Delete")
    expect(button).to_be_disabled()
    field = site.get_by_label("Type the name to confirm: Short lived")
    field.fill("Short")
    expect(button).to_be_disabled()
    field.fill("  Short  lived ")
    expect(button).to_be_enabled()
    field.press("Enter")
    expect(site.get_by_text("Short lived is deleted.")).to_be_visible()
    site.get_by_role("link", name="Deleted spaces").click()
    site.get_by_role("button", name="Restore Short lived").click()
    expect(site.get_by_text("Short lived is back, with all that was in it.")).to_be_visible()


def test_the_link_of_an_invite_is_copied_and_opened(
    site: Page, server: Platform, browser: Browser
) -> None:
    make_space(site, "Sales")
    site.get_by_role("link", name="Invite people").click()
    site.get_by_label("Whom").fill("bob")
    site.get_by_label("Whom").press("Enter")
    site.get_by_label("Role").first.select_option("Admin")
    site.get_by_role("button", name="Invite", exact=True).click()
    site.get_by_role("button", name="Copy link").click()
    expect(site.get_by_role("button", name="Copied")).to_be_visible()
    link = site.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{server.url}/invites/")
    guest = browser.new_context(locale="en-GB")
    with watched_page(guest) as page:
        page.goto(link)
        page.get_by_label("Username").fill("bob")
        page.get_by_label("Password").fill(
            json.loads((server.data / "demo.json").read_text())["bob"]
        )
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(link)
        expect(page.get_by_role("link", name="Invitations: 1")).to_be_visible()
        page.get_by_role("button", name="Accept the invite to Sales").click()
        expect(page.get_by_text("You are a member of Sales now.")).to_be_visible()
        expect(page.get_by_role("link", name="Invitations: 1")).to_have_count(0)
    guest.close()


def test_the_result_of_a_table_is_downloaded(site: Page) -> None:
    site.get_by_role("link", name="Invite people").click()
    site.locator("input[type=file]").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": b"bob\nnobody\n"}
    )
    site.get_by_role("button", name="Invite them").click()
    expect(site.get_by_role("heading", name="0 of 2 rows are invited")).to_be_visible()
    with site.expect_download() as downloading:
        site.get_by_role("link", name="Download the result").click()
    assert downloading.value.suggested_filename == "invites.csv"
    text = downloading.value.path().read_text(encoding="utf-8-sig")
    assert "1,bob,already_member," in text
    assert "2,nobody,no_such_user," in text


def test_the_space_that_one_works_in_is_chosen_in_the_header(site: Page) -> None:
    make_space(site, "Quiet")
    site.get_by_role("button", name="Work here").click()
    menu = site.get_by_label("Space: Quiet")
    expect(menu).to_be_visible()
    site.goto("/robots/")
    expect(site.get_by_text("No robots yet")).to_be_visible()
    menu.press("Enter")
    site.get_by_role("button", name="All spaces").click()
    expect(site.get_by_role("link", name="hello", exact=True)).to_be_visible()
    expect(site.get_by_label("Space: All spaces")).to_be_visible()


def test_a_shared_run_is_watched_by_anybody_until_it_ends(
    site: Page, server: Platform, browser: Browser
) -> None:
    start(site, "patient", WAIT)
    status(site, "Running")
    live = site.url
    site.get_by_role("link", name="Share…").click()
    site.get_by_role("button", name="Make a link").click()
    link = site.get_by_role("link", name="Open it").get_attribute("href")
    assert link is not None
    anybody = browser.new_context(locale="en-GB")
    sockets: list[str] = []
    with watched_page(anybody, "status of 404") as page:
        page.on("websocket", lambda opened: sockets.append(opened.url))
        page.goto(link)
        expect(page.locator(".log-row").filter(has_text="waiting")).to_be_visible()
        expect(page.get_by_text("Live, by polling")).to_be_visible()
        site.goto(live)
        site.get_by_role("button", name="Cancel").click()
        site.get_by_role("button", name="Cancel the run").click()
        expect(page.locator("#status")).to_have_text(re.compile("Cancelled"), timeout=30_000)
        assert sockets == []
        site.goto("/shares/")
        site.get_by_role("button", name="Switch off").click()
        expect(site.get_by_text("The share has ended.")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
    anybody.close()


def test_the_pages_do_without_scripts(server: Platform, browser: Browser) -> None:
    context = browser.new_context(base_url=server.url, locale="en-GB", java_script_enabled=False)
    sign_in(context, server)
    page = context.new_page()
    page.goto("/spaces/new/?enterprise=1")
    page.get_by_label("Name").fill("Plain")
    page.get_by_role("button", name="Create the space").click()
    page.get_by_label("Language").click()  # a menu without scripts as well
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_label("Type the name").fill("Other")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This is not the name.")).to_be_visible()
    page.get_by_label("Type the name").fill("Plain")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Plain is deleted.")).to_be_visible()
    context.close()
