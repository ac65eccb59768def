"""`ansi.js`: what a terminal would show, and nothing that could be markup."""

from typing import Any

import pytest
from playwright.sync_api import Page

RED, BLUE = 1, 4


@pytest.fixture
def page(quiet_page: Page) -> Page:
    return quiet_page


def parse(page: Page, *lines: str) -> list[list[dict[str, Any]]]:
    """The spans of each line, each with its text and what is not plain in its style."""
    result: list[list[dict[str, Any]]] = page.evaluate(
        """async (lines) => {
            const { parse, PLAIN } = await import("/static/js/ansi.js");
            let style = PLAIN;
            return lines.map((line) => {
                const parsed = parse(line, style);
                style = parsed.style;
                return parsed.spans.map(({ text, style }) => ({
                    text,
                    ...Object.fromEntries(Object.entries(style).filter(([key, value]) => value !== PLAIN[key])),
                }));
            });
        }""",
        list(lines),
    )
    return result


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("plain", [{"text": "plain"}]),
        ("", []),
        ("\x1b[31mred\x1b[0m not", [{"text": "red", "fg": RED}, {"text": " not"}]),
        ("\x1b[91mbright", [{"text": "bright", "fg": 9}]),
        ("\x1b[44;107mx", [{"text": "x", "bg": 15}]),
        ("\x1b[1;4;34mx\x1b[22;24my\x1b[39mz", [
            {"text": "x", "fg": BLUE, "bold": True, "underline": True},
            {"text": "y", "fg": BLUE},
            {"text": "z"},
        ]),
        ("\x1b[2;3;7;9mx", [{"text": "x", "dim": True, "italic": True, "inverse": True, "strike": True}]),
        ("\x1b[mx", [{"text": "x"}]),
        ("\x1b[38;5;9mx", [{"text": "x", "fg": 9}]),
        ("\x1b[38;5;208mx", [{"text": "x", "fg": "#ff8700"}]),
        ("\x1b[48;5;232mx", [{"text": "x", "bg": "#080808"}]),
        ("\x1b[38;2;1;2;255mx", [{"text": "x", "fg": "#0102ff"}]),
        ("\x1b[38:2::1:2:255mx", [{"text": "x", "fg": "#0102ff"}]),
        ("\x1b[38:2:1:2:255mx", [{"text": "x", "fg": "#0102ff"}]),
        ("\x1b[38:5:208;1mx", [{"text": "x", "fg": "#ff8700", "bold": True}]),
        ("\x1b[4:3mx\x1b[4:0my", [{"text": "x", "underline": True}, {"text": "y"}]),
        ("\x1b[38;2;300;0;0;1mx", [{"text": "x", "bold": True}]),
        ("\x1b[38;2;1mx", [{"text": "x"}]),
        ("\x1b[38mx", [{"text": "x"}]),
        ("\x1b[38;5;red;31mx", [{"text": "ed;31mx"}]),
    ],
)  # fmt: skip
def test_styles(page: Page, text: str, spans: list[dict[str, Any]]) -> None:
    assert parse(page, text) == [spans]


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("10 %\r20 %\r30 %", "30 %"),
        ("done\r", "done"),
        ("done\r\r", "done"),
        ("long line\rx", "x"),
        ("a\x1b[2Kb\x1b[1Ac\x1b[?25ld", "abcd"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r0m\x1b\\x", "x"),
        ("a\x1b(Bb\x1b=c\x1b7d", "abcd"),
        ("a\x00b\x07c\x08d\x7fe\x9bf", "abcdef"),
        ("tab\tstays", "tab\tstays"),
        ("cut off \x1b[3", "cut off "),
        ("cut off \x1b", "cut off "),
        ("cut off \x1b]0;never ends", "cut off "),
        ("中文 😀 é", "中文 😀 é"),
    ],
)
def test_other_sequences_vanish(page: Page, text: str, visible: str) -> None:
    assert "".join(span["text"] for span in parse(page, text)[0]) == visible


def test_colours_run_on_over_lines_and_over_a_carriage_return(page: Page) -> None:
    first, second, third = parse(page, "\x1b[31mred", "still", "\x1b[34mgone\rblue\x1b[0m")
    assert first == [{"text": "red", "fg": RED}]
    assert second == [{"text": "still", "fg": RED}]
    assert third == [{"text": "blue", "fg": BLUE}]


@pytest.mark.parametrize(
    "attack",
    [
        "<script>window.hacked = 1</script>",
        "<img src=x onerror='window.hacked = 1'>",
        "\x1b[31m<svg onload=window.hacked=1>\x1b[0m",
        "\x1b[38;2;1;2;3;background:url(javascript:1)m<b>x</b>",
        "\x1b]8;;javascript:window.hacked=1\x07click\x1b]8;;\x07",
        "</span></div><iframe srcdoc='<script>parent.hacked=1</script>'>",
        "&lt;b&gt; &amp;",
        '\x1b[31"onmouseover="window.hacked=1mx',
    ],
)
def test_nothing_printed_becomes_markup(page: Page, attack: str) -> None:
    seen = page.evaluate(
        """async (attack) => {
            const { parse, plain } = await import("/static/js/ansi.js");
            const { drawn } = await import("/static/js/log.js");
            const box = document.createElement("div");
            document.body.append(box);
            box.append(...parse(attack).spans.map(drawn));
            await new Promise(requestAnimationFrame);
            const tags = [...box.querySelectorAll("*")];
            return {
                tags: tags.map((tag) => tag.localName),
                attributes: tags.flatMap((tag) => tag.getAttributeNames()),
                same: box.textContent === plain(attack),
                hacked: window.hacked ?? null,
            };
        }""",
        attack,
    )
    assert set(seen["tags"]) <= {"span"}
    assert set(seen["attributes"]) <= {"class", "style"}
    assert seen["same"]
    assert seen["hacked"] is None


def test_drawn_colours_reach_the_screen_under_the_policy(page: Page) -> None:
    colours = page.evaluate(
        """async () => {
            const { parse } = await import("/static/js/ansi.js");
            const { drawn } = await import("/static/js/log.js");
            const box = document.createElement("div");
            box.className = "log";
            document.body.append(box);
            const text = "\\x1b[38;2;1;2;3ma\\x1b[0;32mb\\x1b[0;7mc\\x1b[0;48;5;208md";
            box.append(...parse(text).spans.map(drawn));
            return [...box.children].map((each) => {
                const { color, backgroundColor } = getComputedStyle(each);
                return [color, backgroundColor];
            });
        }"""
    )
    assert colours[0][0] == "rgb(1, 2, 3)"
    assert colours[1][0] == "rgb(111, 207, 142)"
    assert colours[2] == ["rgb(17, 22, 30)", "rgb(216, 222, 233)"]
    assert colours[3][1] == "rgb(255, 135, 0)"


def test_marks_split_spans_where_a_search_matches(page: Page) -> None:
    spans = page.evaluate(
        """async () => {
            const { parse, mark } = await import("/static/js/ansi.js");
            const spans = mark(parse("ab\\x1b[31mcd\\x1b[0mef").spans, [[1, 3], [5, 6]]);
            return spans.map(({ text, marked, style }) => [text, marked ?? false, style.fg]);
        }"""
    )
    assert spans == [
        ["a", False, None],
        ["b", True, None],
        ["c", True, RED],
        ["d", False, RED],
        ["e", False, None],
        ["f", True, None],
    ]
