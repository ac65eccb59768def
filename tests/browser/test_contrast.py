"""Text in the site's colours can be read: WCAG AA in both themes."""

from itertools import product
from typing import Any

import pytest
from playwright.sync_api import Page

ON_PAGES = [*product(["text", "muted", "accent"], ["canvas", "surface", "sunken"])]
STATUSES = [
    (name, f"{name}-soft") for name in ("running", "completed", "failed", "waiting", "quiet")
]
BUTTONS = [
    ("on-accent", "accent-fill"),
    ("on-accent", "accent-fill-hover"),
    ("on-accent", "danger-fill"),
]
OTHERS = [
    ("accent", "accent-soft"),
    ("text", "failed-soft"),
    ("failed", "surface"),
    ("completed", "surface"),
    ("text", "raised"),
]

CONTRAST = """(pairs) => {
    const probe = document.body.appendChild(document.createElement("i"));
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const light = (name) => {
        probe.style.color = `var(--${name})`;
        canvas.fillStyle = getComputedStyle(probe).color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((byte) => {
            const part = byte / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return pairs.map(([over, under]) => {
        const [low, high] = [light(over), light(under)].sort((one, other) => one - other);
        return [over, under, (high + 0.05) / (low + 0.05)];
    });
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast(page: Page, theme: Any) -> None:
    page.emulate_media(color_scheme=theme)
    found = page.evaluate(CONTRAST, [*ON_PAGES, *STATUSES, *BUTTONS, *OTHERS])
    assert [pair for pair in found if pair[2] < 4.5] == []


def test_the_colours_of_the_log_can_be_read_on_its_background(page: Page) -> None:
    page.evaluate("document.body.className = 'live'")
    found = page.evaluate(CONTRAST, [["log-text", "log-back"], ["log-muted", "log-bar"]])
    assert [pair for pair in found if pair[2] < 4.5] == []
