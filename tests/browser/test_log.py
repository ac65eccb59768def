"""The log: its store, its search, its geometry, and what is drawn of fifty thousand lines."""

from typing import Any

import pytest
from playwright.sync_api import Page

SETUP = """
    const { LogStore, Search } = await import("/static/js/logstore.js");
    const { LogView } = await import("/static/js/log.js");
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const scroller = document.getElementById("scroll");
    const store = new LogStore();
    const follows = [];
    let view;
    const search = new Search(store, () => view?.changed());
    view = new LogView(scroller, store, search, { onFollow: (on) => follows.push(on) });
    const fill = (count, text = (n) => `line ${n}`) => {
        const from = store.next;
        store.append(from, Array.from({ length: count }, (_, at) => text(from + at)), "stdout");
        search.update();
        view.changed();
    };
    const rows = () => [...scroller.querySelectorAll(".log-row")];
    const visible = () => rows().filter((row) => {
        const box = row.getBoundingClientRect();
        const frame = scroller.getBoundingClientRect();
        return box.top >= frame.top - 1 && box.bottom <= frame.bottom + 1;
    }).map((row) => Number(row.firstChild.textContent));
    const atEnd = () => Math.abs(scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop) < 2;
    const until = async (holds) => { while (!holds()) await frame(); };
"""


@pytest.fixture
def log(page: Page, static_url: str) -> Page:
    page.goto(f"{static_url}/log.html")
    return page


def run(log: Page, script: str) -> Any:
    return log.evaluate(f"async () => {{ {SETUP} {script} }}")


def test_fifty_thousand_lines_are_a_few_rows(log: Page) -> None:
    seen = run(
        log,
        """
        const begun = performance.now();
        for (let batch = 0; batch < 50; batch += 1) { fill(1000); }
        await frame();
        const took = performance.now() - begun;
        const end = { rows: rows().length, visible: visible(), height: scroller.scrollHeight };
        view.goTo(25_000);
        await frame();
        return { took, end, middle: visible(), rows: rows().length, count: store.count };
        """,
    )
    assert seen["count"] == 50_000
    assert seen["end"]["visible"][-1] == 50_000
    assert seen["end"]["rows"] < 120
    assert seen["end"]["height"] > 50_000 * 15
    assert 25_000 in seen["middle"]
    assert seen["rows"] < 120
    assert seen["took"] < 5_000


def test_every_line_is_reachable_and_in_its_place(log: Page) -> None:
    bad = run(
        log,
        """
        fill(3000);
        await frame();
        view.follow(false);
        const seen = new Set();
        const bad = [];
        for (let top = 0; top <= scroller.scrollHeight; top += scroller.clientHeight / 2) {
            scroller.scrollTop = top;
            await frame();
            const numbers = rows().map((row) => Number(row.firstChild.textContent));
            numbers.forEach((number, at) => { if (at && number !== numbers[at - 1] + 1) bad.push(number); });
            for (const row of rows()) {
                if (row.lastChild.textContent !== `line ${row.firstChild.textContent}`) bad.push(row.textContent);
            }
            visible().forEach((number) => seen.add(number));
        }
        for (let line = 1; line <= 3000; line += 1) if (!seen.has(line)) bad.push(line);
        return bad;
        """,
    )
    assert bad == []


def test_the_end_is_followed_until_the_reader_scrolls_up(log: Page) -> None:
    seen = run(
        log,
        """
        fill(500);
        await frame();
        const first = atEnd();
        fill(500);
        await frame();
        const second = atEnd();
        scroller.scrollTop -= 300;
        await frame();
        const top = scroller.scrollTop;
        const before = visible();
        fill(500);
        await frame();
        const stays = scroller.scrollTop === top && visible().join() === before.join();
        const off = view.following;
        scroller.scrollTop = scroller.scrollHeight;
        await frame();
        const again = view.following;
        view.follow(false);
        fill(10);
        await frame();
        view.follow(true);
        await frame();
        return { first, second, stays, off, again, end: atEnd(), follows };
        """,
    )
    assert seen["first"]
    assert seen["second"]
    assert seen["stays"]
    assert seen["off"] is False
    assert seen["again"] is True
    assert seen["end"]
    assert seen["follows"] == [False, True, False, True]


def test_memory_is_bounded_and_what_is_looked_at_stays(log: Page) -> None:
    seen = run(
        log,
        """
        store.maxLines = 10_000;
        fill(10_000);
        await frame();
        view.goTo(9_000);
        await frame();
        const before = visible();
        fill(2_000);
        await frame();
        const after = visible();
        return { before, after, first: store.first, count: store.count, next: store.next, dropped: store.dropped,
                 text: store.raw(9_000) };
        """,
    )
    assert seen["count"] <= 10_000
    assert seen["next"] == 12_001
    assert seen["first"] == seen["dropped"] + 1
    assert seen["text"] == "line 9000"
    assert seen["before"] == seen["after"]


def test_characters_are_bounded_too(log: Page) -> None:
    seen = run(
        log,
        """
        store.maxChars = 100_000;
        fill(300, () => "x".repeat(1_000));
        return { count: store.count, next: store.next };
        """,
    )
    assert seen["next"] == 301
    assert 1 <= seen["count"] <= 100


def test_repeated_lines_are_ignored_and_lost_ones_leave_a_new_start(log: Page) -> None:
    seen = run(
        log,
        """
        store.append(1, ["a", "b", "c"], "stdout");
        store.append(2, ["b", "c", "d"], "stdout");
        const overlap = [1, 2, 3, 4].map((line) => store.raw(line));
        store.append(10, ["j"], "stderr");
        view.draw();
        return { overlap, first: store.first, next: store.next, shown: rows().map((row) => row.textContent) };
        """,
    )
    assert seen["overlap"] == ["a", "b", "c", "d"]
    assert (seen["first"], seen["next"]) == (10, 11)
    assert seen["shown"] == ["10j"]


def test_streams_keep_their_own_colours(log: Page) -> None:
    colours = run(
        log,
        """
        store.append(1, ["\\x1b[31mred"], "stdout");
        store.append(2, ["plain"], "stderr");
        store.append(3, ["still red"], "stdout");
        return [1, 2, 3].map((line) => store.spans(line)[0].style.fg);
        """,
    )
    assert colours == [1, None, 1]


def test_search_finds_in_the_whole_log_and_goes_on_with_new_lines(log: Page) -> None:
    seen = run(
        log,
        """
        fill(30_000, (n) => n % 1000 ? `line ${n}` : `\\x1b[3${n % 7}mNee\\x1b[0mdle ${n}`);
        search.start("needle");
        await until(() => !search.busy);
        const first = [...search.lines];
        fill(1_000, (n) => `a NEEDLE ${n}`);
        await until(() => !search.busy);
        const more = search.lines.length;
        view.select(first[3]);
        await frame();
        const marks = [...scroller.querySelectorAll("mark")].map((mark) => mark.textContent);
        search.start("(.*[");
        const special = search.lines.length;
        search.start("");
        return { first, more, marks, special, active: search.active };
        """,
    )
    assert seen["first"] == list(range(1_000, 30_001, 1_000))
    assert seen["more"] == 1_030
    assert "".join(seen["marks"]).startswith("Needle")
    assert seen["special"] == 0
    assert seen["active"] is False


def test_the_filter_shows_only_matches(log: Page) -> None:
    seen = run(
        log,
        """
        fill(20_000, (n) => n % 500 ? "other" : `needle ${n}`);
        await frame();
        search.start("needle");
        await until(() => !search.busy);
        view.setFilter(true);
        await frame();
        const shown = rows().map((row) => Number(row.firstChild.textContent));
        fill(1, () => "one more needle");
        await frame();
        await frame();
        const more = rows().length;
        view.setFilter(false);
        view.goTo(10_000);
        await frame();
        return { shown, more, all: visible().includes(10_000) };
        """,
    )
    assert seen["shown"] == list(range(500, 20_001, 500))[-len(seen["shown"]) :]
    assert len(seen["shown"]) > 20
    assert seen["more"] >= len(seen["shown"])
    assert seen["all"]


@pytest.mark.parametrize("wrap", [False, True])
def test_a_line_that_is_not_there_yet_is_gone_to_when_it_comes(log: Page, wrap: bool) -> None:
    seen = run(
        log,
        f"""
        view.setWrap({str(wrap).lower()});
        view.select(1_200, 1_202);
        fill(100);
        await frame();
        const early = view.following;
        fill(2_000, (n) => `line ${{n}} ` + "word ".repeat(n % 97));
        await frame();
        await frame();
        const target = [...scroller.querySelectorAll(".is-target")].map((row) => Number(row.firstChild.textContent));
        return {{ early, target, visible: visible().includes(1_200), follows }};
        """,
    )
    assert seen["early"] is False
    assert seen["target"] == [1_200, 1_201, 1_202]
    assert seen["visible"]


def test_wrapped_lines_have_their_own_heights_and_do_not_overlap(log: Page) -> None:
    seen = run(
        log,
        """
        fill(5_000, (n) => `line ${n} ` + "wide 中文字 ".repeat((n * 7) % 60));
        view.setWrap(true);
        await frame();
        const end = visible().at(-1);
        view.goTo(2_500);
        await frame();
        const boxes = rows().map((row) => row.getBoundingClientRect());
        const overlaps = boxes.filter((box, at) => at && Math.abs(box.top - boxes[at - 1].bottom) > 0.6).length;
        const wide = scroller.scrollWidth > scroller.clientWidth;
        return { end, end2: atEnd(), shown: visible().includes(2_500), overlaps, wide, rows: rows().length };
        """,
    )
    assert seen["end"] == 5_000
    assert seen["shown"]
    assert seen["overlaps"] == 0
    assert not seen["wide"]
    assert seen["rows"] < 120


def test_an_endless_line_is_cut_where_it_is_drawn(log: Page) -> None:
    seen = run(
        log,
        """
        fill(1, () => "x".repeat(2_000_000));
        await frame();
        return { drawn: rows()[0].textContent.length, kept: store.raw(1).length };
        """,
    )
    assert seen["drawn"] < 11_000
    assert seen["kept"] == 2_000_000


def test_heights_agree_with_a_plain_sum(log: Page) -> None:
    bad = log.evaluate(
        """async () => {
            const { Heights } = await import("/static/js/heights.js");
            const heights = new Heights(20);
            const each = Array.from({ length: 1_000 }, (_, row) => 20 * (1 + (row * 13) % 5));
            heights.setEach(400, (row) => each[row]);
            heights.grow(1_000, (row) => each[row]);
            const bad = [];
            const check = () => {
                let sum = 0;
                each.forEach((height, row) => {
                    if (heights.top(row) !== sum) bad.push(["top", row]);
                    if (heights.rowAt(sum) !== row) bad.push(["at", row]);
                    if (heights.rowAt(sum + height - 0.5) !== row) bad.push(["at end", row]);
                    sum += height;
                });
                if (heights.total !== sum) bad.push("total");
            };
            check();
            for (const row of [0, 1, 7, 63, 64, 511, 999]) { heights.correct(row, 60); each[row] = 60; }
            check();
            return bad;
        }"""
    )
    assert bad == []
