"""What every page does: forms, copying, times, theme, rows that refresh."""

import re

import pytest
from playwright.sync_api import Page, expect


@pytest.fixture
def forms(page: Page, static_url: str) -> Page:
    page.goto(f"{static_url}/forms.html")
    expect(page.locator("#time")).not_to_have_text("then")  # the modules have run
    return page


def test_a_form_is_sent_once(forms: Page) -> None:
    forms.fill("input[name=customer]", "ACME")
    seen = forms.evaluate("""() => {
        const sent = [];
        addEventListener("submit", (event) => {
            sent.push(!event.defaultPrevented);
            event.preventDefault();
        });
        const button = document.getElementById("send");
        button.form.requestSubmit();
        button.form.requestSubmit();
        button.click();
        return { sent, busy: button.getAttribute("aria-busy") };
    }""")
    assert seen == {"sent": [True, False, False], "busy": "true"}


def test_an_invalid_form_is_not_sent_and_can_be_corrected(forms: Page) -> None:
    forms.click("#send")
    assert forms.evaluate("document.getElementById('form').dataset.sent") is None
    forms.fill("input[name=customer]", "ACME")
    forms.fill("#json", "{oops")
    assert forms.evaluate("document.getElementById('json').validationMessage") == "Not JSON"
    forms.fill("#json", '{"a": 1}')
    assert forms.evaluate("document.getElementById('form').checkValidity()")


def test_a_choice_in_a_filter_needs_no_button(forms: Page) -> None:
    forms.select_option("select[name=status]", "FAILED")
    forms.wait_for_url(re.compile(r"status=FAILED"))


def test_copying_says_so(forms: Page) -> None:
    forms.context.grant_permissions(["clipboard-read", "clipboard-write"])
    forms.click("#copy")
    expect(forms.locator("#copy")).to_have_text("Copied")
    assert forms.evaluate("navigator.clipboard.readText()") == "curl -X POST"
    expect(forms.locator("#copy")).to_have_text("Copy")


def test_times_and_durations_are_localised(forms: Page) -> None:
    expect(forms.locator("#time")).to_have_text(re.compile(r"2 Jan 2020|Jan 2, 2020"))
    assert re.search(r"3:04:05|03:04:05", forms.get_attribute("#time", "title") or "")
    expect(forms.locator("#length")).to_have_text("1m 5s")


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0ms"), (950, "950ms"), (1_000, "1.0s"), (59_940, "59.9s"), (59_990, "1m 0s"),
     (3_599_400, "59m 59s"), (3_600_000, "1h 0m"), (97_380_000, "27h 3m"), (-5, "0ms")],
)  # fmt: skip
def test_durations(page: Page, milliseconds: int, text: str) -> None:
    script = 'async (ms) => (await import("/static/js/times.js")).formatDuration(ms)'
    assert page.evaluate(script, milliseconds) == text


def test_words_are_filled_in(page: Page) -> None:
    script = 'async () => (await import("/static/js/strings.js")).say("greeting", { name: "<b>", count: 12345 })'
    assert page.evaluate(script) == "<b> has 12,345 lines"


def test_the_theme_holds_over_pages(forms: Page) -> None:
    root = forms.locator("html")
    toggle = forms.locator("#theme")
    expect(toggle).to_have_attribute("aria-label", "auto")
    toggle.click()
    expect(root).to_have_attribute("data-theme", "light")
    toggle.click()
    expect(root).to_have_attribute("data-theme", "dark")
    background = "getComputedStyle(document.body).backgroundColor"
    assert forms.evaluate(background) == "rgb(14, 18, 24)"
    forms.reload(wait_until="commit")
    expect(root).to_have_attribute("data-theme", "dark")
    expect(toggle).to_have_attribute("aria-label", "dark")
    toggle.click()
    assert forms.evaluate("document.documentElement.dataset.theme") is None


def test_a_menu_closes_by_escape_and_by_a_click_elsewhere(forms: Page) -> None:
    menu = forms.locator("details[data-menu]")
    forms.click("#summary")
    expect(menu).to_have_attribute("open", "")
    forms.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(forms.locator("#summary")).to_be_focused()
    forms.click("#summary")
    forms.click("#source")
    expect(menu).not_to_have_attribute("open", "")


def test_only_changed_rows_are_replaced_and_focus_stays(forms: Page) -> None:
    seen = forms.evaluate(
        """async () => {
            const { merge } = await import("/static/js/refresh.js");
            const rows = document.querySelector("[data-rows]");
            const [one, two] = rows.children;
            one.querySelector("a").focus();
            const fresh = new DOMParser().parseFromString(`<div data-refresh="runs"><table><tbody data-rows>
              <tr data-key="3" data-state="PENDING"><td><a href="#3">three</a></td></tr>
              <tr data-key="1" data-state="COMPLETED"><td><a href="#1">one, done</a></td></tr>
              <tr data-key="2" data-state="FAILED"><td><a href="#2">two, drawn otherwise</a></td></tr>
            </tbody></table></div>`, "text/html");
            const changed = merge(document, fresh);
            return {
                changed, again: merge(document, fresh), kept: rows.children[2] === two,
                text: [...rows.querySelectorAll("a")].map((each) => each.textContent), focus: document.activeElement.textContent,
            };
        }"""
    )
    assert seen == {
        "changed": True,
        "again": False,
        "kept": True,
        "text": ["three", "one, done", "two"],
        "focus": "one, done",
    }
