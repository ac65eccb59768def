"""A real headless Chromium, and the static files served to it under the policy of production."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
POLICY = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'"


class _Handler(SimpleHTTPRequestHandler):
    """`/static/...` and `/tests/...` as they are; every other address is a page of ours."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        bare = path.split("?")[0]
        for prefix, folder in (("/static/", ROOT / "static"), ("/tests/", Path(__file__).parent)):
            if bare.startswith(prefix):
                return str(folder / bare.removeprefix(prefix))
        return str(Path(__file__).parent / "pages" / (bare.strip("/") or "blank.html"))

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: a failure shows in the browser."""


@pytest.fixture(scope="session")
def static_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Per package: while Playwright runs, its thread counts as inside an event loop, which would
    disturb other packages' asynchronous tests."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield started
        started.close()


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """The tests of the modules share it: each has a page of its own and leaves no storage behind."""
    opened = browser.new_context(viewport={"width": 1200, "height": 800}, locale="en-GB")
    yield opened
    opened.close()


@contextmanager
def watched_page(context: BrowserContext, *expected: str) -> Iterator[Page]:
    """A page. An uncaught error or a refusal of the policy in it fails the test."""
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    yield opened
    for each in context.pages:
        each.close()
    assert [each for each in problems if not any(text in each for text in expected)] == []


@pytest.fixture(scope="module")
def quiet_page(context: BrowserContext, static_url: str) -> Iterator[Page]:
    """One blank page for a whole module, whose tests put nothing into it."""
    with watched_page(context) as opened:
        opened.goto(static_url)
        yield opened


@pytest.fixture
def page(context: BrowserContext, static_url: str) -> Iterator[Page]:
    """A blank page of the site. Lists try to be told of changes; no websocket answers here."""
    with watched_page(context, "/ws/") as opened:
        opened.goto(static_url)
        yield opened
