/* A server of one execution's events with the faults of real networks, on a clock that the test moves. */

export class FakeClock {
  #timers = new Map();
  #next = 1;
  time = 1_000_000;

  now() {
    return this.time;
  }

  setTimeout(then, delay) {
    this.#timers.set(this.#next, { at: this.time + Math.max(0, delay), then });
    return this.#next++;
  }

  clearTimeout(id) {
    this.#timers.delete(id);
  }

  get waiting() {
    return this.#timers.size;
  }

  async advance(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.time = Math.max(this.time, due[1].at);
      due[1].then();
    }
    this.time = end;
    await settled();
  }
}

export async function settled() {
  for (let turn = 0; turn < 25; turn += 1) await null;
}

/** A repeatable source of chance. */
export function chance(seed) {
  let state = seed * 2654435761 + 1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export class FakeServer {
  events = [];
  closed = false;
  epoch = 1;
  first = 1; // The oldest event that is still kept.
  tellsFirst = true; // Whether pages say which it is.
  sockets = [];
  connects = 0;
  fetches = 0;
  accepting = true;
  failFetches = false;
  refuseFetches = 0; // A status to answer with.

  append(count = 1) {
    for (let index = 0; index < count; index += 1) {
      const seq = this.events.length + 1;
      this.events.push({ seq, kind: "log", at: "", data: { seq, epoch: this.epoch } });
    }
  }

  after(cursor) {
    return this.events.slice(Math.max(cursor, this.first - 1));
  }

  /** As `subscribe` of socket.js. */
  connect = (after, on) => {
    this.connects += 1;
    const sent = Number(after.split(":").at(-1));
    const socket = { after, on, sent, open: false, dead: false, close: () => { socket.dead = true; } };
    this.sockets.push(socket);
    return socket;
  };

  get socket() {
    return this.sockets.findLast((socket) => !socket.dead);
  }

  accept(socket = this.socket) {
    if (!socket || socket.open) return;
    socket.open = true;
    socket.on.onOpen();
  }

  send(frame, socket = this.socket) {
    if (socket?.open && !socket.dead) socket.on.onFrame(structuredClone(frame));
  }

  cut(code = 1006, socket = this.socket) {
    if (!socket) return;
    socket.dead = true;
    socket.on.onClose(code);
  }

  /** Send everything that the socket has not had, as the real one does. */
  deliver(socket = this.socket) {
    if (!socket?.open) return;
    const events = this.after(socket.sent);
    socket.sent = this.events.length;
    if (events.length) this.send({ type: "events", events }, socket);
    if (this.closed) this.send({ type: "end", status: "COMPLETED", last_seq: this.events.length }, socket);
  }

  fetch = async (url) => {
    this.fetches += 1;
    await null;
    if (this.failFetches) throw new TypeError("Failed to fetch");
    if (this.refuseFetches) return { ok: false, status: this.refuseFetches, json: async () => ({}) };
    const query = new URL(url).searchParams;
    const cursor = Number(query.get("after").split(":").at(-1));
    const page = {
      events: this.after(cursor).slice(0, Number(query.get("limit"))),
      last_seq: this.events.length,
      epoch: this.epoch,
      closed: this.closed,
    };
    if (this.tellsFirst) page.first_available = this.first;
    return { ok: true, status: 200, json: async () => structuredClone(page) };
  };
}

/** A stream on a fake server, with everything that it says. */
export async function watched({ seed = 1, ...options } = {}) {
  const { ExecutionStream } = await import("/static/js/stream.js");
  const clock = new FakeClock();
  const server = new FakeServer();
  const seen = { seqs: [], states: [], resets: [], truncated: [], ends: [], events: [] };
  const stream = new ExecutionStream(
    {
      eventsUrl: "http://example.test/events/", clock, pageSize: 7,
      connect: server.connect, fetch: server.fetch, random: chance(seed), ...options,
    },
    {
      onEvents: (events) => {
        seen.seqs.push(...events.map((event) => event.seq));
        seen.events.push(...events);
      },
      onState: (state) => seen.states.push(state),
      onReset: (epoch) => {
        seen.resets.push(epoch);
        seen.seqs = [];
      },
      onTruncated: (first) => seen.truncated.push(first),
      onEnd: (status) => seen.ends.push(status),
    },
  );
  return { stream, clock, server, seen };
}

/** A connection over fake sockets; `watch` subscribes and keeps what it is told. */
export async function connected(options = {}) {
  const { Connection } = await import("/static/js/socket.js");
  const clock = new FakeClock();
  const sockets = [];
  const createSocket = (url) => {
    const socket = {
      url, orders: [], dead: false,
      send: (text) => socket.orders.push(JSON.parse(text)),
      close: (code) => {
        socket.dead = true;
        if (code) socket.onclose({ code });
      },
      accept: () => socket.onopen({}),
      raw: (data) => socket.onmessage({ data }),
      say: (frame) => socket.raw(JSON.stringify(frame)),
    };
    sockets.push(socket);
    return socket;
  };
  const connection = new Connection({ url: "ws://example.test/ws/", createSocket, clock, ...options });
  const watch = (topic) => {
    const seen = [];
    const channel = connection.subscribe(topic, {
      onOpen: () => seen.push("open"),
      onFrame: (frame) => seen.push(frame.type),
      onClose: (code) => seen.push(code),
    });
    return { channel, seen };
  };
  return { connection, sockets, clock, watch };
}

/** A list and the server that tells it of changes. */
export async function listed() {
  const { Changes } = await import("/static/js/changes.js");
  const clock = new FakeClock();
  const looks = [];
  const state = { shown: true, urgent: true, failing: false, takes: 0, now: 0, most: 0 };
  const server = {
    attempts: 0, closed: 0, accepting: true, on: null,
    subscribe: (topic, on) => {
      server.attempts += 1;
      server.on = on;
      if (!server.accepting) clock.setTimeout(() => on.onClose(1006), 10);
      return { close: () => { server.closed += 1; } };
    },
    say: (type) => server.on.onFrame({ type }),
    cut: (code = 1006) => server.on.onClose(code),
  };
  const changes = new Changes({
    connection: server, topic: { topic: "home" }, clock, random: chance(1),
    isShown: () => state.shown, isUrgent: () => state.urgent,
    look: async () => {
      looks.push(clock.now());
      state.now += 1;
      state.most = Math.max(state.most, state.now);
      if (state.takes) await new Promise((resolve) => { clock.setTimeout(resolve, state.takes); });
      state.now -= 1;
      if (state.failing) throw new TypeError("Failed to fetch");
    },
  });
  return { changes, server, clock, looks, state };
}
