"""`ExecutionStream` against a server that cuts, repeats, loses and reorders."""

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
            const {{ watched, chance, settled }} = await import("/tests/fakes.js");
            {script}
        }}""",
        argument,
    )


def test_events_of_one_socket_arrive_in_order_until_the_end(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen } = await watched();
        server.append(3);
        stream.start();
        server.accept();
        server.deliver();
        server.append(2);
        server.deliver();
        server.closed = true;
        server.deliver();
        return { ...seen, connects: server.connects, dead: server.sockets[0].dead };
        """,
    )
    assert seen["seqs"] == [1, 2, 3, 4, 5]
    assert seen["states"] == ["connecting", "live", "ended"]
    assert seen["ends"] == ["COMPLETED"]
    assert seen["connects"] == 1
    assert seen["dead"]


def test_no_event_is_lost_or_repeated_under_random_faults(page: Page) -> None:
    """400 histories of cuts, duplicates, losses, reorderings, silent deaths and failing pages."""
    bad = run(
        page,
        """
        const bad = [];
        for (let seed = 1; seed <= 400; seed += 1) {
          const random = chance(seed);
          const pick = (count) => Math.floor(random() * count);
          const { stream, clock, server, seen } = await watched({ seed });
          stream.start();
          for (let step = 0; step < 60; step += 1) {
            switch (pick(11)) {
              case 0: case 1: server.append(1 + pick(12)); break;
              case 2: server.accept(); break;
              case 3: server.deliver(); break;
              case 4: { // A frame is lost.
                if (server.socket?.open) server.socket.sent = server.events.length;
                break;
              }
              case 5: { // Something is said twice.
                const from = pick(server.events.length + 1);
                server.send({ type: "events", events: server.events.slice(from, from + 5) });
                break;
              }
              case 6: { // Out of order.
                const events = server.after(stream.cursor).slice(0, 6);
                server.send({ type: "events", events: events.sort(() => random() - 0.5) });
                break;
              }
              case 7: server.cut([1006, 1000, 1011, 1012][pick(4)]); break;
              case 8: server.failFetches = random() < 0.5; break;
              case 9: await clock.advance(pick(60_000)); break;
              case 10: if (random() < 0.3) stream.wake(); break;
            }
            if (random() < 0.3) await settled();
          }
          server.failFetches = false;
          server.append(1);
          server.closed = true;
          for (let turn = 0; turn < 40 && stream.state !== "ended"; turn += 1) {
            server.accept();
            server.deliver();
            await clock.advance(5_000);
          }
          const expected = server.events.map((event) => event.seq);
          const connects = server.connects;
          await clock.advance(600_000);
          if (JSON.stringify(seen.seqs) !== JSON.stringify(expected) || stream.state !== "ended"
              || seen.ends.length !== 1 || server.connects !== connects || clock.waiting) {
            bad.push({ seed, state: stream.state, seqs: seen.seqs.length, of: expected.length });
          }
        }
        return bad;
        """,
    )
    assert bad == []


def test_a_gap_is_read_over_http_and_the_socket_goes_on(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        stream.start();
        server.accept();
        server.append(30);
        server.send({ type: "events", events: [server.events[0], server.events[29]] });
        server.append(1);
        server.send({ type: "events", events: [server.events[30]] });
        await clock.advance(0);
        server.append(1);
        server.send({ type: "events", events: [server.events[31]] });
        return { ...seen, connects: server.connects, fetches: server.fetches, state: stream.state };
        """,
    )
    assert seen["seqs"] == list(range(1, 33))
    assert seen["connects"] == 1
    assert seen["fetches"] == 5
    assert seen["state"] == "live"


def test_an_end_that_overtakes_events_waits_for_them(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        stream.start();
        server.accept();
        server.append(4);
        server.closed = true;
        server.send({ type: "end", status: "FAILED", last_seq: 4 });
        const early = [...seen.ends];
        await clock.advance(0);
        return { early, ...seen };
        """,
    )
    assert seen["early"] == []
    assert seen["seqs"] == [1, 2, 3, 4]
    assert seen["ends"] == ["FAILED"]


def test_reconnects_back_off_and_start_at_the_cursor(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched({ pollAfter: 100 });
        server.append(2);
        stream.start();
        server.accept();
        server.deliver();
        const gaps = [];
        for (let turn = 0; turn < 9; turn += 1) {
          const count = server.connects;
          const before = clock.now();
          server.cut();
          while (server.connects === count) await clock.advance(50);
          gaps.push(clock.now() - before);
        }
        return { gaps, after: server.sockets.at(-1).after, states: seen.states };
        """,
    )
    assert seen["gaps"][0] <= 550
    assert max(seen["gaps"]) <= 15_050
    assert 7_000 <= seen["gaps"][-1] <= 15_050
    assert seen["after"] == "2"
    assert seen["states"] == ["connecting", "live", "reconnecting"]


def test_success_resets_the_back_off_and_waking_skips_it(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, clock } = await watched({ pollAfter: 100 });
        stream.start();
        for (let turn = 0; turn < 6; turn += 1) { server.cut(); await clock.advance(20_000); }
        while (!server.socket) await clock.advance(100);
        server.accept();
        server.send({ type: "hb" });
        let count = server.connects;
        server.cut();
        await clock.advance(550);
        const quick = server.connects - count;
        for (let turn = 0; turn < 6; turn += 1) { server.cut(); await clock.advance(20_000); }
        while (!server.socket) await clock.advance(100);
        server.cut();
        count = server.connects;
        stream.wake();
        return { quick, woken: server.connects - count };
        """,
    )
    assert seen == {"quick": 1, "woken": 1}


def test_a_silent_connection_is_replaced(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        stream.start();
        server.accept();
        for (let beat = 0; beat < 6; beat += 1) { await clock.advance(15_000); server.send({ type: "hb" }); }
        const calm = server.connects;
        await clock.advance(41_000);
        return { calm, after: server.connects, dead: server.sockets[0].dead, states: seen.states };
        """,
    )
    assert seen["calm"] == 1
    assert seen["after"] == 2
    assert seen["dead"]
    assert seen["states"][:3] == ["connecting", "live", "reconnecting"]


def test_without_sockets_pages_are_polled_and_a_socket_takes_over_again(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        server.append(3);
        stream.start();
        for (let turn = 0; turn < 4; turn += 1) { server.cut(); await clock.advance(16_000); }
        const polling = stream.state;
        server.append(20);
        await clock.advance(2_100);
        const polled = [...seen.seqs];
        server.accept();
        server.append(1);
        server.deliver();
        const fetches = server.fetches;
        await clock.advance(30_000);
        return { polling, polled, seqs: seen.seqs, state: stream.state, more: server.fetches - fetches };
        """,
    )
    assert seen["polling"] == "polling"
    assert seen["polled"] == list(range(1, 24))
    assert seen["seqs"] == list(range(1, 25))
    assert seen["state"] == "live"
    assert seen["more"] == 0


def test_a_server_that_is_away_is_not_called_polled(page: Page) -> None:
    states = run(
        page,
        """
        const { stream, server, clock } = await watched();
        stream.start();
        server.accept();
        server.failFetches = true;
        for (let turn = 0; turn < 4; turn += 1) { server.cut(); await clock.advance(16_000); }
        const away = stream.state;
        server.failFetches = false;
        await clock.advance(16_000);
        const back = stream.state;
        server.failFetches = true;
        await clock.advance(3_000);
        return [away, back, stream.state];
        """,
    )
    assert states == ["reconnecting", "polling", "reconnecting"]


def test_polling_alone_reaches_the_end(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        stream.start();
        for (let turn = 0; turn < 4; turn += 1) { server.cut(); await clock.advance(16_000); }
        server.append(9);
        server.closed = true;
        await clock.advance(3_000);
        return { ...seen, waiting: clock.waiting };
        """,
    )
    assert seen["seqs"] == list(range(1, 10))
    assert seen["states"][-1] == "ended"
    assert seen["ends"] == [None]
    assert seen["waiting"] == 0


@pytest.mark.parametrize(("code", "state"), [(4401, "signed-out"), (4404, "refused")])
def test_a_refusal_is_final(page: Page, code: int, state: str) -> None:
    seen = run(
        page,
        """
        const { stream, server, clock } = await watched();
        stream.start();
        server.accept();
        server.cut(argument);
        stream.wake();
        await clock.advance(600_000);
        return { state: stream.state, connects: server.connects, fetches: server.fetches };
        """,
        code,
    )
    assert seen == {"state": state, "connects": 1, "fetches": 0}


@pytest.mark.parametrize(
    ("status", "state"), [(401, "signed-out"), (403, "signed-out"), (404, "refused")]
)
def test_a_refused_page_is_final_too(page: Page, status: int, state: str) -> None:
    seen = run(
        page,
        """
        const { stream, server, clock } = await watched();
        server.refuseFetches = argument;
        stream.start();
        for (let turn = 0; turn < 4; turn += 1) { server.cut(); await clock.advance(16_000); }
        return stream.state;
        """,
        status,
    )
    assert seen == state


def test_a_reset_starts_again_and_a_truncation_is_said(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        server.append(5);
        stream.start();
        server.accept();
        server.deliver();
        server.epoch = 2;
        server.events = [];
        server.append(3);
        server.send({ type: "reset", epoch: 2 });
        server.send({ type: "events", events: server.events });
        const fresh = [...seen.seqs];
        server.append(7);
        server.first = 9;
        server.send({ type: "truncated", first_available: 9 });
        server.send({ type: "events", events: server.after(8) });
        server.cut();
        await clock.advance(1_000);
        return { fresh, ...seen, after: server.sockets.at(-1).after };
        """,
    )
    assert seen["fresh"] == [1, 2, 3]
    assert seen["resets"] == [2]
    assert seen["truncated"] == [9]
    assert seen["seqs"] == [1, 2, 3, 9, 10]
    assert seen["after"] == "2:10"


@pytest.mark.parametrize("told", [True, False])
def test_pages_that_begin_later_count_as_truncated(page: Page, told: bool) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        server.tellsFirst = argument;
        server.append(6);
        server.first = 4;
        stream.start();
        server.accept();
        server.send({ type: "events", events: [server.events[5]] });
        await clock.advance(0);
        return seen;
        """,
        told,
    )
    assert seen["truncated"] == [4]
    assert seen["seqs"] == [4, 5, 6]


def test_a_run_of_which_nothing_is_kept_is_said_to_be_so_and_ends(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched({ pollAfter: 1 });
        server.append(6);
        server.first = 7;
        server.closed = true;
        stream.start();
        server.cut();
        await clock.advance(1_000);
        return { ...seen, waiting: clock.waiting };
        """,
    )
    assert (seen["seqs"], seen["truncated"], seen["ends"]) == ([], [7], [None])
    assert seen["waiting"] == 0


def test_a_truncation_that_is_old_news_changes_nothing(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen } = await watched();
        server.append(5);
        stream.start();
        server.accept();
        server.deliver();
        server.send({ type: "truncated", first_available: 3 });
        server.append(1);
        server.deliver();
        return seen;
        """,
    )
    assert (seen["seqs"], seen["truncated"]) == ([1, 2, 3, 4, 5, 6], [])


@pytest.mark.parametrize("fresh", [3, 8])
def test_a_page_of_another_epoch_is_a_reset(page: Page, fresh: int) -> None:
    """Whether it has fewer events than were seen, or more."""
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched({ pollAfter: 1 });
        server.append(5);
        stream.start();
        server.cut();
        await clock.advance(100);
        const before = [...seen.seqs];
        server.epoch = 2;
        server.events = [];
        server.append(argument);
        await clock.advance(3_000);
        return { before, ...seen, epochs: seen.events.slice(5).map((event) => event.data.epoch) };
        """,
        fresh,
    )
    assert seen["before"] == [1, 2, 3, 4, 5]
    assert seen["resets"] == [2]
    assert seen["seqs"] == list(range(1, fresh + 1))
    assert seen["epochs"] == [2] * fresh


def test_who_never_heard_of_an_epoch_knows_by_its_cursor_that_it_is_another(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched({ pollAfter: 1 });
        server.append(5);
        stream.start();
        server.accept();
        server.deliver();
        server.epoch = 2;
        server.events = [];
        server.append(3);
        server.cut();
        await clock.advance(1_000);
        return { ...seen, after: server.sockets.at(-1).after };
        """,
    )
    assert (seen["resets"], seen["seqs"], seen["after"]) == ([2], [1, 2, 3], "2:3")


def test_nothing_of_before_a_reset_is_waited_for(page: Page) -> None:
    """Neither events that were missing then, nor the end that was told."""
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        stream.start();
        server.accept();
        server.failFetches = true;
        server.append(9);
        server.send({ type: "end", status: "FAILED", last_seq: 9 });
        server.epoch = 2;
        server.events = [];
        server.append(10);
        server.send({ type: "reset", epoch: 2 });
        server.send({ type: "events", events: server.events });
        const live = stream.state;
        server.failFetches = false;
        await clock.advance(20_000);
        server.append(1);
        server.send({ type: "events", events: server.after(10) });
        const shorter = stream.cursor;
        server.epoch = 3;
        server.events = [];
        server.append(2);
        server.send({ type: "events", events: [{ seq: 50, kind: "log", at: "", data: {} }] });
        server.send({ type: "reset", epoch: 3 });
        server.send({ type: "events", events: server.events });
        await clock.advance(10_000);
        server.send({ type: "hb" });
        const { fetches } = server;
        await clock.advance(30_000);
        return { live, shorter, seqs: seen.seqs, ends: seen.ends, state: stream.state, more: server.fetches - fetches };
        """,
    )
    assert (seen["live"], seen["shorter"]) == ("live", 11)
    assert (seen["seqs"], seen["ends"], seen["state"]) == ([1, 2], [], "live")
    assert seen["more"] == 0


def test_a_connection_that_was_replaced_has_no_say(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        stream.start();
        server.accept();
        await clock.advance(41_000);
        const [old, current] = server.sockets;
        server.accept(current);
        old.on.onClose(4404);
        old.on.onFrame({ type: "reset", epoch: 9 });
        server.append(2);
        server.deliver(current);
        return { count: server.sockets.length, dead: current.dead, state: stream.state, ...seen };
        """,
    )
    assert (seen["count"], seen["dead"], seen["state"]) == (2, False, "live")
    assert (seen["seqs"], seen["resets"]) == ([1, 2], [])


def test_waking_leaves_a_living_connection_and_replaces_a_dead_one(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, clock } = await watched();
        stream.start();
        server.accept();
        stream.wake();
        const living = server.connects;
        clock.time += 100_000; // A laptop that slept: no timer ran meanwhile.
        stream.wake();
        return { living, slept: server.connects, dead: server.sockets[0].dead };
        """,
    )
    assert seen == {"living": 1, "slept": 2, "dead": True}


def test_a_page_that_never_comes_is_asked_for_again(page: Page) -> None:
    seen = run(
        page,
        """
        let asked = 0;
        const hanging = (url, { signal }) => {
          asked += 1;
          return new Promise((resolve, reject) => { signal.onabort = () => reject(signal.reason); });
        };
        const { stream, server, seen, clock } = await watched({ fetch: hanging, pollAfter: 1 });
        stream.start();
        server.cut();
        await clock.advance(29_000);
        const patient = asked;
        await clock.advance(3_000);
        return { patient, asked };
        """,
    )
    assert seen == {"patient": 1, "asked": 2}


def test_stopping_lets_go_of_everything(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen, clock } = await watched();
        stream.start();
        server.accept();
        const socket = server.socket;
        stream.stop();
        server.append(2);
        socket.on.onFrame({ type: "events", events: server.events });
        socket.on.onClose(1006);
        await clock.advance(600_000);
        return { seqs: seen.seqs, connects: server.connects, waiting: clock.waiting };
        """,
    )
    assert seen == {"seqs": [], "connects": 1, "waiting": 0}


def test_unknown_frames_are_survived(page: Page) -> None:
    seen = run(
        page,
        """
        const { stream, server, seen } = await watched();
        stream.start();
        server.accept();
        server.send({ type: "weather", sunny: true });
        server.append(1);
        server.deliver();
        return seen.seqs;
        """,
    )
    assert seen == [1]
