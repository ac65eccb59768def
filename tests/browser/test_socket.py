"""The connection that a tab shares, and lists that are told when they have changed."""

from typing import Any

import pytest
from playwright.sync_api import Page


@pytest.fixture
def page(quiet_page: Page) -> Page:
    return quiet_page


def run(page: Page, script: str, argument: Any = None) -> Any:
    """The value of an asynchronous script that has `fakes.js` at hand."""
    return page.evaluate(
        f"""async (argument) => {{
            const {{ connected, listed, settled }} = await import("/tests/fakes.js");
            {script}
        }}""",
        argument,
    )


def test_all_subscriptions_share_one_socket_and_get_what_is_theirs(page: Page) -> None:
    seen = run(
        page,
        """
        const { connection, sockets, watch } = await connected();
        const first = watch({ topic: "home" });
        const second = watch({ topic: "execution", execution: "e", after: "1:7" });
        const early = sockets[0].orders.length;
        sockets[0].accept();
        const third = watch({ topic: "space", space: 3 });
        await settled();
        sockets[0].say({ type: "changed", id: "1", version: 1 });
        sockets[0].say({ type: "events", id: "2", events: [] });
        sockets[0].say({ type: "hb" });
        sockets[0].say({ type: "events", id: "99", events: [] });
        sockets[0].raw("{"); sockets[0].raw("null"); sockets[0].raw("7");
        return { early, count: sockets.length, orders: sockets[0].orders, first: first.seen, second: second.seen,
                 third: third.seen };
        """,
    )
    assert (seen["early"], seen["count"]) == (0, 1)
    assert seen["orders"] == [
        {"op": "subscribe", "id": "1", "topic": "home"},
        {"op": "subscribe", "id": "2", "topic": "execution", "execution": "e", "after": "1:7"},
        {"op": "subscribe", "id": "3", "topic": "space", "space": 3},
    ]
    assert seen["first"] == ["open", "changed", "hb"]
    assert seen["second"] == ["open", "events", "hb"]
    assert seen["third"] == ["open", "hb"]


def test_a_socket_that_fails_fails_for_all_and_the_next_one_opens_it_anew(page: Page) -> None:
    seen = run(
        page,
        """
        const { sockets, watch } = await connected();
        const all = [watch({ topic: "home" }), watch({ topic: "space", space: 3 })];
        sockets[0].accept();
        sockets[0].close(argument);
        const alone = sockets.length;
        const again = watch({ topic: "home" });
        watch({ topic: "space", space: 3 });
        sockets[0].say({ type: "hb" });
        sockets[1].accept();
        return { alone, count: sockets.length, all: all.map((each) => each.seen), again: again.seen };
        """,
        4401,
    )
    assert (seen["alone"], seen["count"]) == (1, 2)
    assert seen["all"] == [["open", 4401], ["open", 4401]]
    assert seen["again"] == ["open"]


@pytest.mark.parametrize(
    ("code", "close"),
    [("not_found", 4404), ("malformed", 4400), ("too_many", 1013), ("fault", 1011)],
)
def test_a_refusal_is_of_one_subscription(page: Page, code: str, close: int) -> None:
    seen = run(
        page,
        """
        const { sockets, watch } = await connected();
        const [bad, good] = [watch({ topic: "space", space: 3 }), watch({ topic: "home" })];
        sockets[0].accept();
        sockets[0].say({ type: "refused", id: "1", code: argument });
        sockets[0].say({ type: "changed", id: "1", version: 1 });
        sockets[0].say({ type: "changed", id: "2", version: 1 });
        return [bad.seen, good.seen];
        """,
        code,
    )
    assert seen == [["open", close], ["open", "changed"]]


def test_the_socket_rests_when_nobody_watches(page: Page) -> None:
    seen = run(
        page,
        """
        const { sockets, watch, clock } = await connected();
        const first = watch({ topic: "home" });
        sockets[0].accept();
        first.channel.close();
        first.channel.close();
        sockets[0].say({ type: "changed", id: "1", version: 9 });
        const lingering = !sockets[0].dead;
        const next = watch({ topic: "execution", execution: "e", after: "" });
        await clock.advance(5_000);
        const kept = !sockets[0].dead;
        sockets[0].say({ type: "end", id: "2", status: "COMPLETED", last_seq: 3 });
        await clock.advance(5_000);
        return { lingering, kept, dead: sockets[0].dead, waiting: clock.waiting, next: next.seen, first: first.seen,
                 orders: sockets[0].orders.map((each) => each.op) };
        """,
    )
    assert seen == {
        "lingering": True,
        "kept": True,
        "dead": True,
        "waiting": 0,
        "first": ["open"],
        "next": ["open", "end"],
        "orders": ["subscribe", "unsubscribe", "subscribe"],
    }


def test_a_silent_socket_is_given_up(page: Page) -> None:
    seen = run(
        page,
        """
        const { sockets, watch, clock } = await connected();
        const early = watch({ topic: "home" });
        await clock.advance(10_100);
        const never = early.seen.slice();
        const first = watch({ topic: "home" });
        sockets[1].accept();
        for (let beat = 0; beat < 4; beat += 1) { await clock.advance(15_000); sockets[1].say({ type: "hb" }); }
        const calm = first.seen.filter((each) => each !== "hb");
        await clock.advance(40_100);
        const lost = first.seen.at(-1);
        // A laptop that slept: no timer ran meanwhile.
        const second = watch({ topic: "home" });
        sockets[2].accept();
        clock.time += 100_000;
        watch({ topic: "home" });
        return { never, calm, lost, second: second.seen, count: sockets.length };
        """,
    )
    assert seen["never"] == [1006]
    assert seen["calm"] == ["open"]
    assert seen["lost"] == 1006
    assert seen["second"] == ["open", 1006]
    assert seen["count"] == 4


def test_a_list_is_fetched_when_it_is_said_to_have_changed(page: Page) -> None:
    seen = run(
        page,
        """
        const { changes, server, clock, looks } = await listed();
        changes.start();
        await clock.advance(2_000);
        const unasked = looks.length;
        server.say("changed");
        await clock.advance(0);
        const first = looks.length;
        for (let turn = 0; turn < 100; turn += 1) { server.say("changed"); await clock.advance(100); }
        const busy = looks.length - first;
        await clock.advance(1_000);
        const before = looks.length;
        await clock.advance(29_500);
        return { unasked, first, busy, quiet: looks.length - before, always: (await clock.advance(1_000), looks.length - before) };
        """,
    )
    assert (seen["unasked"], seen["first"]) == (0, 1)
    assert 9 <= seen["busy"] <= 11
    assert seen["quiet"] <= 1
    assert seen["always"] >= 1


def test_a_slow_server_is_asked_less_and_never_twice_at_once(page: Page) -> None:
    seen = run(
        page,
        """
        const { changes, server, clock, looks, state } = await listed();
        state.takes = 400;
        changes.start();
        for (let turn = 0; turn < 400; turn += 1) { server.say("changed"); await clock.advance(100); }
        return { count: looks.length, most: state.most };
        """,
    )
    assert seen["most"] == 1
    assert 8 <= seen["count"] <= 12


def test_a_hidden_page_fetches_nothing_until_it_is_looked_at(page: Page) -> None:
    seen = run(
        page,
        """
        const { changes, server, clock, looks, state } = await listed();
        changes.start();
        state.shown = false;
        server.say("changed");
        await clock.advance(300_000);
        const hidden = looks.length;
        state.shown = true;
        changes.wake();
        await clock.advance(0);
        return { hidden, shown: looks.length };
        """,
    )
    assert seen == {"hidden": 0, "shown": 1}


def test_without_a_connection_the_list_is_polled_while_something_runs(page: Page) -> None:
    seen = run(
        page,
        """
        const { changes, server, clock, looks, state } = await listed();
        changes.start();
        server.say("hb");
        server.cut();
        server.accepting = false;
        await clock.advance(60_000);
        const polled = looks.length;
        state.failing = true;
        await clock.advance(60_000);
        state.failing = false;
        state.urgent = false;
        await clock.advance(5_000);
        const before = looks.length;
        await clock.advance(60_000);
        const calm = looks.length - before;
        server.accepting = true;
        await clock.advance(16_000);
        server.say("changed");
        await clock.advance(1_000);
        const back = looks.length;
        await clock.advance(20_000);
        return { polled, calm, attempts: server.attempts, after: looks.length - back };
        """,
    )
    assert 11 <= seen["polled"] <= 13
    assert seen["calm"] == 2
    assert seen["after"] == 0
    assert seen["attempts"] < 40


@pytest.mark.parametrize(("code", "looks"), [(4401, 0), (4404, 1)])
def test_a_refusal_is_not_asked_again(page: Page, code: int, looks: int) -> None:
    seen = run(
        page,
        """
        const { changes, server, clock, looks, state } = await listed();
        state.urgent = false;
        changes.start();
        server.cut(argument);
        await clock.advance(31_000);
        return { attempts: server.attempts, looks: looks.length };
        """,
        code,
    )
    assert seen == {"attempts": 1, "looks": looks}


def test_stopping_a_list_lets_go_of_everything(page: Page) -> None:
    seen = run(
        page,
        """
        const { changes, server, clock, looks } = await listed();
        changes.start();
        changes.stop();
        changes.wake();
        await clock.advance(100_000);
        return { waiting: clock.waiting, looks: looks.length, closed: server.closed };
        """,
    )
    assert seen == {"waiting": 0, "looks": 0, "closed": 1}
