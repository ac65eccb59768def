"""The pages on a real server: publish, run, watch, cut the connection, cancel."""

import json
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect

from tests.browser.conftest import watched_page
from tests.browser.running import Platform, package, platform
from tests.support.proxy import Proxy

SHOW = """
import sys, rpa
given = rpa.params()
with rpa.step("Read"):
    print("\\x1b[31mred\\x1b[0m <script>window.hacked = 1</script>", given["customer"])
with rpa.step("Write"):
    rpa.progress(50, "half")
    print("to stderr", file=sys.stderr)
    open("output/a b.csv", "w").write("1,2")
rpa.result({"customer": given["customer"], "tags": given["tags"]})
if given["fail"]:
    raise RuntimeError("the ledger is locked")
"""
PARAMETERS = {
    "type": "object",
    "required": ["customer"],
    "properties": {
        "customer": {"type": "string", "title": "Customer", "minLength": 2, "description": "Who."},
        "amount": {"type": "number", "maximum": 10, "default": 2.5},
        "channel": {"type": "string", "enum": ["mail", "portal"], "default": "mail"},
        "tags": {"type": "array", "items": {"type": "string"}, "default": ["a", "b"]},
        "fail": {"type": "boolean", "default": False},
    },
}
FLOOD = "for n in range(1, 50001): print(f'line {n}' + (' needle' if n % 5000 == 0 else ''))"
#: Goes on until it is told to stop.
WAIT = "import signal\nprint('waiting', flush=True)\nsignal.pause()"
#: Enough pieces that a connection can be cut between them.
PIECES = (
    "import time\nfor n in range(1, 41):\n    print(f'line {n}', flush=True)\n    time.sleep(0.1)"
)

BURSTS = """
import time
for n in range(1, 3001):
    print(f"line {n}")
    if n % 150 == 0:
        time.sleep(0.12)
"""
#: The way to this page as it is read, with what the style sheet draws between its parts.
CRUMBS = """() => {
    const drawn = (link, side) => {
        const { content } = getComputedStyle(link, side);
        return content === "none" ? "" : ` ${JSON.parse(content)} `;
    };
    const links = [...document.querySelectorAll(".crumbs a")];
    return links.map((a) => drawn(a, "::before") + a.textContent + drawn(a, "::after")).join("");
}"""
#: The text of every line of the log, which shows a few at a time.
ALL_LINES = """async () => {
    const log = document.getElementById("log-scroll");
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const lines = new Map();
    for (let top = 0; top < log.scrollHeight; top += log.clientHeight) {
        log.scrollTop = top;
        await frame();
        for (const row of log.querySelectorAll(".log-row")) lines.set(Number(row.firstChild.textContent), row.textContent);
    }
    return [...lines.keys()].sort((a, b) => a - b).map((number) => lines.get(number));
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[Platform]:
    with platform() as running:
        yield running


@pytest.fixture(scope="module")
def signed_in(browser: Browser, server: Platform) -> Iterator[BrowserContext]:
    """A session of alice's, which the tests share."""
    context = browser.new_context(base_url=server.url, locale="en-GB")
    sign_in(context, server)
    yield context
    context.close()


def sign_in(context: BrowserContext, server: Platform) -> None:
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Username").fill(server.name)
    page.get_by_label("Password").fill(server.password)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Home")).to_be_visible()
    page.close()


@pytest.fixture
def site(signed_in: BrowserContext) -> Iterator[Page]:
    """A signed-in page at home."""
    with watched_page(signed_in, "status of 404", "status of 422") as opened:
        opened.goto("/")
        yield opened


def publish(site: Page, name: str, content: bytes) -> None:
    """Upload a robot by the form; the page is then that of the robot."""
    site.goto("/robots/new/")
    site.get_by_label("Name").fill(name)
    site.locator("input[type=file]").set_input_files(
        {"name": "robot.zip", "mimeType": "application/zip", "buffer": content}
    )
    site.get_by_role("button", name="Publish").click()
    expect(site.get_by_role("heading", name=name, level=1)).to_be_visible()


def start(site: Page, name: str, code: str) -> None:
    """Publish and run a robot without parameters; the page is then the live page."""
    publish(site, name, package(code))
    site.get_by_role("link", name="Run", exact=True).click()
    site.get_by_role("button", name="Run", exact=True).click()
    expect(site.locator("#log")).to_be_visible()


def status(site: Page, name: str) -> None:
    expect(site.locator("#status")).to_have_text(name, timeout=60_000)


def test_a_run_from_the_form_to_its_result(site: Page) -> None:
    publish(site, "show", package(SHOW, parameters=PARAMETERS))
    site.get_by_role("link", name="Run", exact=True).click()
    expect(site.locator("#curl")).to_contain_text("curl -X POST")
    expect(site.get_by_label("Amount")).to_have_value("2.5")
    expect(site.get_by_label("Channel")).to_have_value("mail")
    expect(site.get_by_label("Tags")).to_have_value("a\nb")
    site.get_by_label("Tags").fill("x\ny z")
    site.get_by_label("Customer").fill("ACME")
    site.get_by_role("button", name="Run", exact=True).click()
    status(site, "Completed")
    expect(site.locator("#transport")).to_have_text("Ended")
    expect(site).to_have_title("Completed · show · RPA Platform")
    expect(site.locator("link[rel=icon]")).to_have_attribute(
        "href", re.compile("favicon-completed")
    )
    first = site.locator("#execution-uid").inner_text()
    expect(site.locator("#log-scroll")).to_contain_text(
        "red <script>window.hacked = 1</script> ACME"
    )
    assert site.evaluate("window.hacked") is None
    assert site.evaluate(CRUMBS) == "Executions / show"
    expect(site.locator(".log-row[data-stream=stderr]")).to_contain_text("to stderr")
    expect(site.locator(".step-name")).to_have_text(["Read", "Write"])
    expect(site.locator("#result-text")).to_contain_text('"y z"')
    expect(site.locator(".artifact")).to_contain_text("a b.csv")
    with site.expect_download() as downloaded:
        site.locator(".artifact a").click()
    assert downloaded.value.path().read_text() == "1,2"
    site.get_by_role("link", name="Run again…").click()
    expect(site.get_by_label("Customer")).to_have_value("ACME")
    expect(site.get_by_label("Tags")).to_have_value("x\ny z")
    site.get_by_label("Fail").check()
    site.get_by_role("button", name="Run", exact=True).click()
    status(site, "Failed")
    expect(site.locator("#reason")).to_contain_text("The robot ended with an error")
    expect(site.get_by_role("link", name=first[:8])).to_be_visible()
    site.goto("/executions/?status=FAILED")
    expect(site.locator("tbody tr").first).to_contain_text("show")


def test_the_examples_follow_the_form(site: Page) -> None:
    content = package(SHOW, parameters=PARAMETERS, tasks=("Main", "It's another"))
    publish(site, "two tasks", content)
    site.get_by_role("link", name="Run", exact=True).click()
    expect(site.locator("#curl")).to_contain_text('"task": "Main"')
    site.get_by_label("Task").select_option("It's another")
    site.get_by_label("Customer").fill("O'Neill")
    expect(site.locator("#curl")).to_contain_text('"customer": "O\'"\'"\'Neill"')
    expect(site.locator("#curl")).to_contain_text("another")
    expect(site.locator("#cli")).to_contain_text("--task 'It'\"'\"'s another'")
    site.get_by_label("Amount").fill("3")
    expect(site.locator("#cli")).to_contain_text("-p amount=3 ")


def test_every_module_is_named_after_its_contents(site: Page) -> None:
    site.goto("/executions/")
    loaded = site.evaluate(
        """async () => {
            await import(document.querySelector("script[type=module]").src);
            return performance.getEntriesByType("resource").map((each) => new URL(each.name).pathname);
        }"""
    )
    modules = [path for path in loaded if path.startswith("/static/js/")]
    assert len(modules) > 5
    assert [path for path in modules if not re.search(r"\.[0-9a-f]{12}\.js$", path)] == []


def test_refusals_are_shown_where_they_belong(site: Page) -> None:
    site.goto("/robots/new/")
    site.locator("input[type=file]").set_input_files(
        {"name": "robot.zip", "mimeType": "application/zip", "buffer": b"no zip"}
    )
    site.get_by_role("button", name="Publish").click()
    expect(site.locator(".field.has-error .error")).not_to_be_empty()
    publish(site, "strict", package(SHOW, parameters=PARAMETERS))
    site.get_by_role("link", name="Run", exact=True).click()
    site.locator("form.form").evaluate("form => { form.noValidate = true; }")
    site.get_by_label("Customer").fill("A")
    site.get_by_label("Amount").fill("3.5")
    site.get_by_role("button", name="Run", exact=True).click()
    expect(site.get_by_role("alert")).to_contain_text("The run was not started.")
    expect(site.get_by_label("Customer")).to_have_attribute("aria-invalid", "true")
    expect(site.get_by_label("Customer")).to_have_value("A")
    expect(site.get_by_label("Amount")).to_have_value("3.5")


def test_fifty_thousand_lines_stay_a_few_rows_with_search_and_links(site: Page) -> None:
    start(site, "flood", FLOOD)
    status(site, "Completed")
    expect(site.locator("#log-count")).to_have_text("50,000 lines", timeout=60_000)
    expect(site.locator(".log-row").last).to_have_text("50000line 50000 needle")
    assert site.locator(".log-row").count() < 150
    site.keyboard.press("/")
    site.keyboard.type("needle")
    expect(site.locator("#log-found")).to_have_text("1 of 10")
    site.keyboard.press("Enter")
    expect(site.locator(".log-row.is-target")).to_contain_text("line 10000")
    site.keyboard.press("Shift+Enter")
    expect(site.locator("#log-found")).to_have_text("1 of 10")
    site.locator("#log-filter").click()
    expect(site.locator(".log-row")).to_have_count(10)
    site.locator("#log-query").press("Escape")
    expect(site.locator("#log-resume")).to_be_visible()
    site.keyboard.press("f")
    expect(site.locator("#log-resume")).to_be_hidden()
    site.locator(".log-number", has_text="49999").click()
    assert site.url.endswith("#L49999")
    site.goto(site.url.replace("#L49999", "#L25000-L25002"))
    expect(site.locator(".log-row.is-target")).to_have_count(3, timeout=60_000)
    expect(site.get_by_text("line 25001", exact=True)).to_be_in_viewport()
    site.keyboard.press("?")
    expect(site.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


def test_cut_connections_lose_and_repeat_nothing(site: Page) -> None:
    cuts: list[str] = []

    def cut_after_two(route: WebSocketRoute) -> None:
        upstream = route.connect_to_server()
        passed: list[object] = []

        def pass_on(message: str | bytes) -> None:
            route.send(message)
            passed.append(message)
            if len(passed) == 2:
                cuts.append(route.url)
                route.close(code=1011, reason="test")

        upstream.on_message(pass_on)

    site.route_web_socket(re.compile("/ws/"), cut_after_two)
    start(site, "pieces", PIECES)
    status(site, "Completed")
    expect(site.locator("#log-count")).to_have_text("40 lines")
    expect(site.locator(".log-row")).to_have_text([f"{n}line {n}" for n in range(1, 41)])
    assert len(cuts) >= 2


def test_a_bad_line_to_a_real_server_loses_and_repeats_nothing(
    browser: Browser, server: Platform
) -> None:
    """Every connection is cut again and again while three thousand lines are printed in bursts."""
    with Proxy(server.port) as line:
        context = browser.new_context(base_url=f"http://127.0.0.1:{line.port}", locale="en-GB")
        with watched_page(context, "WebSocket connection", "ERR_") as site:
            sign_in(context, server)
            start(site, "bursts", BURSTS)
            transport, seen = site.locator("#transport"), set()
            while (state := transport.get_attribute("data-state")) != "ended":
                if state == "live" and site.locator(".log-row").count():
                    line.cut()
                    expect(transport).to_have_text(re.compile("Reconnecting|Live|Ended"))
                seen.add(state)
                site.wait_for_timeout(250)
            status(site, "Completed")
            expect(site.locator("#log-count")).to_have_text("3,000 lines")
            assert site.evaluate(ALL_LINES) == [f"{n}line {n}" for n in range(1, 3001)]
            assert line.cuts > 2
            assert "reconnecting" in seen
        context.close()


def test_a_killed_server_is_waited_for_and_no_line_is_lost_or_repeated(
    signed_in: BrowserContext, server: Platform
) -> None:
    with watched_page(signed_in, "ERR_CONNECTION_REFUSED", "WebSocket connection") as site:
        start(site, "cut short", PIECES)
        expect(site.locator(".log-row")).not_to_have_count(0)
        server.stop(signal.SIGKILL)
        expect(site.locator("#transport")).to_have_text("Reconnecting…")
        status(site, "Running")
        server.start()
        status(site, "Failed")
        expect(site.locator("#reason")).to_contain_text("The machine that ran it stopped answering")
        rows = site.locator(".log-row").all_text_contents()
        assert rows == [f"{n}line {n}" for n in range(1, len(rows) + 1)]
        with site.expect_download() as downloaded:
            site.get_by_role("link", name="Download the log").click()
        assert downloaded.value.path().read_text().count("line") == len(rows)


def test_what_is_no_longer_kept_is_said_and_the_result_stays(site: Page) -> None:
    start(site, "forgotten", "import rpa\nprint('gone')\nrpa.result({'kept': True})")
    status(site, "Completed")

    def forget(route: WebSocketRoute) -> None:
        def answer(order: str | bytes) -> None:
            name = json.loads(order)["id"]
            route.send(json.dumps({"type": "truncated", "id": name, "first_available": 9}))
            end = {"type": "end", "id": name, "status": "COMPLETED", "last_seq": 8}
            route.send(json.dumps(end))

        route.on_message(answer)

    site.route_web_socket(re.compile("/ws/"), forget)
    site.reload()
    expect(site.locator("#notes")).to_contain_text("no longer kept")
    expect(site.locator("#log-empty")).to_have_text("The log of this run is no longer kept.")
    expect(site.locator("#result-text")).to_contain_text('"kept": true')
    status(site, "Completed")


def test_without_websockets_the_run_is_polled(site: Page) -> None:
    site.route_web_socket(re.compile("/ws/"), lambda route: route.close(code=1011, reason="test"))
    start(site, "pieces again", PIECES)
    expect(site.locator("#transport")).to_have_text("Live, by polling", timeout=20_000)
    status(site, "Completed")
    expect(site.locator(".log-row")).to_have_text([f"{n}line {n}" for n in range(1, 41)])
    expect(site.locator("#transport")).to_have_text("Ended")


def test_cancelling_asks_first_and_shows_the_end(site: Page) -> None:
    start(site, "wait", WAIT)
    expect(site.locator("#log-scroll")).to_contain_text("waiting", timeout=60_000)
    status(site, "Running")
    expect(site.locator("#transport")).to_have_text("Live")
    site.get_by_role("button", name="Cancel", exact=True).click()
    site.get_by_role("button", name="Keep running").click()
    status(site, "Running")
    site.get_by_role("button", name="Cancel", exact=True).click()
    site.get_by_role("button", name="Cancel the run").click()
    status(site, "Cancelled")
    expect(site.locator("#cancel")).to_be_hidden()
    expect(site.locator("#transport")).to_have_text("Ended")


def test_lists_follow_runs_by_themselves(site: Page) -> None:
    start(site, "listed", WAIT)
    status(site, "Running")
    live = site.url
    listing = site.context.new_page()
    listing.goto("/executions/")
    row = listing.locator("tbody tr", has_text="listed")
    expect(row).to_contain_text("Running")
    site.goto(live)
    site.get_by_role("button", name="Cancel", exact=True).click()
    site.get_by_role("button", name="Cancel the run").click()
    expect(row).to_contain_text("Cancelled", timeout=20_000)


def request_run(site: Page, robot: str) -> None:
    """By the API, in the session of `site`."""
    status = site.evaluate(
        """async (robot) => {
            const token = document.querySelector("meta[name='csrf-token']").content;
            const headers = { "X-CSRFToken": token, "Content-Type": "application/json" };
            const body = JSON.stringify({ robot });
            return (await fetch("/api/v1/executions/", { method: "POST", headers, body })).status;
        }""",
        robot,
    )
    assert status == 201


@pytest.mark.parametrize("address", ["/", "/executions/", "robot"])
def test_a_run_that_was_started_elsewhere_is_shown_at_once(site: Page, address: str) -> None:
    publish(site, f"elsewhere {address}", package("print('done')"))
    robot = site.url.rstrip("/").rsplit("/", 1)[-1]
    listing = site.context.new_page()
    listing.goto(site.url if address == "robot" else address)
    rows = listing.locator("main [data-key] .status, main [data-key] a.row-link")
    if address != "robot":
        rows = rows.filter(has_text=f"elsewhere {address}")
    # It looks once when it is connected, and has nothing to do then.
    listing.wait_for_event("requestfinished", lambda each: each.resource_type == "fetch")
    request_run(site, robot)
    expect(rows.first).to_be_visible(timeout=2_000)


def test_a_list_finds_its_way_back_to_a_server_that_was_killed(
    signed_in: BrowserContext, server: Platform
) -> None:
    expected = ("ERR_CONNECTION_REFUSED", "WebSocket connection", "ERR_EMPTY_RESPONSE")
    with watched_page(signed_in, *expected) as site:
        start(site, "left behind", WAIT)
        status(site, "Running")
        listing = site.context.new_page()
        listing.goto("/")
        row = listing.locator("tbody tr", has_text="left behind").first
        expect(row).to_contain_text("Running")
        server.stop(signal.SIGKILL)
        server.start()
        status(site, "Failed")
        expect(row).to_contain_text("Failed", timeout=30_000)


def test_a_page_whose_session_has_ended_elsewhere_asks_to_sign_in(
    browser: Browser, server: Platform
) -> None:
    context = browser.new_context(base_url=server.url)
    sign_in(context, server)
    with watched_page(context, "status of 401", "status of 403") as site:
        start(site, "signed out", WAIT)
        status(site, "Running")
        cookies = context.cookies()
        other = context.new_page()
        other.goto("/")
        other.locator("summary", has_text=server.name).click()
        other.get_by_role("button", name="Sign out").click()
        assert cookies != context.cookies()
        expect(site.locator("#transport")).to_have_text("Signed out", timeout=45_000)
        expect(site.locator("#notes")).to_contain_text("Sign in again to go on watching.")
        # It knows no more how far the run is, and does not look as if it did.
        expect(site.locator("#progress")).to_be_hidden()
        duration = site.locator("#duration").text_content()
        site.wait_for_timeout(2500)
        expect(site.locator("#duration")).to_have_text(duration or "")
    context.close()


@pytest.mark.parametrize("address", ["/", "/robots/", "/robots/new/", "/executions/", "/nowhere/"])
def test_pages_fit_a_narrow_screen(site: Page, address: str) -> None:
    site.set_viewport_size({"width": 360, "height": 740})
    site.goto(address)
    expect(site.get_by_role("heading", level=1)).to_be_visible()
    assert site.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_language_is_switched_by_a_menu(site: Page) -> None:
    for language, code in (("简体中文", "zh-hans"), ("English", "en")):
        site.locator(".language summary").press("Enter")
        site.get_by_role("button", name=language).click()
        expect(site.locator("html")).to_have_attribute("lang", code)


def test_strangers_are_sent_to_sign_in(browser: Browser, server: Platform) -> None:
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.goto("/executions/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Username").fill(server.name)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Password").fill(server.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Executions")).to_be_visible()
    page.locator("summary", has_text=server.name).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()
