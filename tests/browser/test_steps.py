"""The step tree."""

from typing import Any

from playwright.sync_api import Page

SETUP = """
    const { StepTree } = await import("/static/js/steps.js");
    const root = document.createElement("div");
    document.body.append(root);
    const jumps = [];
    const tree = new StepTree(root, { icons: "/static/img/icons.svg", onJump: (line) => jumps.push(line) });
    let clock = Date.parse("2026-01-01T00:00:00Z");
    const step = (id, state, more = {}, line = 1) => {
        clock += 1500;
        tree.apply({ at: new Date(clock).toISOString(), data: { id, parent: null, name: id, state, type: "step", ...more } }, line, 1);
    };
    const names = () => [...root.querySelectorAll(".step-name")].map((each) => each.textContent);
"""


def run(page: Page, script: str) -> Any:
    return page.evaluate(f"async () => {{ {SETUP} {script} }}")


def test_steps_nest_in_order_with_states_durations_and_places(page: Page) -> None:
    seen = run(
        page,
        """
        step("suite", "started", { type: "suite" }, 5);
        step("a", "started", { parent: "suite" }, 6);
        step("a1", "started", { parent: "a" }, 8);
        step("a1", "passed");
        tree.draw();
        const open = names();
        step("a", "passed");
        step("b", "started", { parent: "suite" }, 11);
        step("b", "failed", { message: "<b>no</b>" });
        step("suite", "failed");
        tree.draw();
        const b = [...root.querySelectorAll(".step-jump")].find((each) => each.textContent.includes("b"));
        b.click();
        return { open, closed: names(), jumps, time: b.querySelector(".step-time").textContent, text: b.textContent,
                 note: root.querySelectorAll(".step-note")[2].textContent, markup: root.querySelectorAll(".step-note b").length };
        """,
    )
    assert seen["open"] == ["suite", "a", "a1"]
    assert seen["closed"] == ["suite", "a", "b"]
    assert seen["jumps"] == [11]
    assert seen["time"] == "1.5s"
    assert "Failed" in seen["text"]
    assert seen["note"] == "<b>no</b>"
    assert seen["markup"] == 0


def test_the_readers_choice_wins(page: Page) -> None:
    seen = run(
        page,
        """
        step("a", "started");
        step("a1", "started", { parent: "a" });
        tree.draw();
        root.querySelector(".step-toggle").click();
        step("a2", "started", { parent: "a" });
        tree.draw();
        const folded = [names(), root.querySelector(".step-toggle").getAttribute("aria-expanded")];
        root.querySelector(".step-toggle").click();
        step("a", "passed");
        tree.draw();
        return [folded, names()];
        """,
    )
    assert seen == [[["a"], "false"], ["a", "a1", "a2"]]


def test_ten_thousand_steps_are_a_page_of_them(page: Page) -> None:
    seen = run(
        page,
        """
        step("all", "started");
        for (let n = 1; n <= 10_000; n += 1) { step(`s${n}`, "started", { parent: "all" }); step(`s${n}`, "passed"); }
        const begun = performance.now();
        tree.draw();
        const took = performance.now() - begun;
        const first = names();
        const button = root.querySelector(".step-more button");
        const words = button.textContent;
        button.click();
        return { took, count: tree.count, first: [first.length, first[1], first.at(-1)], words, more: names().length };
        """,
    )
    assert seen["count"] == 10_001
    assert seen["first"] == [101, "s9901", "s10000"]
    assert seen["words"] == "Show 100 more"
    assert seen["more"] == 201
    assert seen["took"] < 2_000


def test_a_new_attempt_has_its_own_steps_and_the_end_stops_what_runs(page: Page) -> None:
    seen = run(
        page,
        """
        step("a", "started");
        tree.apply({ at: new Date(clock).toISOString(), data: { id: "a", parent: null, name: "again", state: "started" } }, 1, 2);
        tree.stop(clock + 4000);
        tree.draw();
        return [names(), [...root.querySelectorAll(".step")].map((each) => each.dataset.state)];
        """,
    )
    assert seen == [["a", "again"], ["stopped", "stopped"]]
