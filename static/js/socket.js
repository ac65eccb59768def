/* Socket: the one connection of this tab, shared by everything on the page that watches something.
 *
 * Promises: it is open while anybody has a subscription, and not longer than a moment after the last one has
 * gone; frames reach the subscription whose they are, in order; when it fails, all of them are told
 * at once, and whoever subscribes next opens it anew. Whether and when to come again is the
 * subscriber's business: each knows best what it has missed. No DOM; socket and clock are injected.
 */

export const SIGNED_OUT = 4401;
export const REFUSED = 4404;

const LOST = 1006;
const CODES = { not_found: REFUSED, malformed: 4400, too_many: 1013, fault: 1011 };
const DEFAULTS = {
  watchdog: 40_000, // No frame for so long (the server beats every 15 s) means a dead connection.
  connectTimeout: 10_000,
  linger: 1_000,
};

export class Connection {
  #options;
  #socket = null;
  #open = false;
  #heard = 0;
  #next = 1;
  #channels = new Map();
  #timers = { watchdog: null, linger: null };

  /** @param {object} options url; optional: createSocket(url), clock, and any of DEFAULTS. */
  constructor(options) {
    this.#options = { ...DEFAULTS, createSocket: (url) => new WebSocket(url), clock: REAL, ...options };
  }

  /**
   * Watch `topic`, as the server names it: `{topic: "home"}`, `{topic: "space", space}`,
   * `{topic: "execution", execution, after}`. Later calls `on`: onOpen(), onFrame(frame) with what is
   * said of it and with each beat, and once onClose(code) when there will be no more.
   * Returns the way to stop, after which nothing is called.
   */
  subscribe(topic, on) {
    const id = String(this.#next++);
    this.#cancel("linger");
    if (this.#socket && this.#now() - this.#heard > this.#options.watchdog) this.#lose(LOST);
    this.#channels.set(id, { topic, on });
    if (this.#open) {
      this.#order(id, topic);
      Promise.resolve().then(() => this.#channels.get(id)?.on.onOpen?.());
    } else if (!this.#socket) this.#connect();
    return { close: () => this.#leave(id) };
  }

  #connect() {
    let socket;
    try {
      socket = this.#options.createSocket(this.#options.url);
    } catch {
      Promise.resolve().then(() => this.#lose(LOST));
      return;
    }
    this.#socket = socket;
    this.#heard = this.#now();
    // A socket that was given up may still speak.
    const current = (then) => (event) => {
      if (this.#socket !== socket) return;
      this.#heard = this.#now();
      then(event);
    };
    socket.onopen = current(() => {
      this.#open = true;
      this.#watch(this.#options.watchdog);
      for (const [id, { topic }] of this.#channels) this.#order(id, topic);
      this.#each((on) => on.onOpen?.());
    });
    socket.onmessage = current((event) => this.#frame(event.data));
    socket.onclose = current((event) => this.#lose(event.code));
    socket.onerror = () => {}; // `close` follows and decides.
    this.#watch(this.#options.connectTimeout);
  }

  #frame(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof frame?.type !== "string") return;
    if (frame.id === undefined) {
      this.#each((on) => on.onFrame?.(frame));
      return;
    }
    const channel = this.#channels.get(frame.id);
    if (frame.type === "refused" || frame.type === "end") this.#channels.delete(frame.id);
    if (frame.type === "refused") channel?.on.onClose?.(CODES[frame.code] ?? LOST);
    else channel?.on.onFrame?.(frame);
    this.#rest();
  }

  #leave(id) {
    if (this.#channels.delete(id) && this.#open) this.#say({ op: "unsubscribe", id });
    this.#rest();
  }

  #rest() {
    if (this.#channels.size || this.#timers.linger !== null) return;
    this.#arm("linger", this.#options.linger, () => this.#drop());
  }

  #order(id, topic) {
    this.#say({ op: "subscribe", id, ...topic });
  }

  #say(order) {
    try {
      this.#socket.send(JSON.stringify(order));
    } catch {
      // It is closing: `close` follows.
    }
  }

  #each(then) {
    for (const { on } of [...this.#channels.values()]) then(on);
  }

  /** The connection is gone, and with it everything that went over it. */
  #lose(code) {
    this.#drop();
    const lost = [...this.#channels.values()];
    this.#channels.clear();
    for (const { on } of lost) on.onClose?.(code);
  }

  #drop() {
    this.#cancel("watchdog");
    this.#cancel("linger");
    const socket = this.#socket;
    this.#socket = null;
    this.#open = false;
    try {
      socket?.close();
    } catch {
      // It was never open.
    }
  }

  #watch(limit, wait = limit) {
    this.#arm("watchdog", wait, () => {
      const left = this.#heard + limit - this.#now();
      if (left > 0) this.#watch(limit, left);
      else this.#lose(LOST);
    });
  }

  #arm(name, milliseconds, then) {
    this.#cancel(name);
    this.#timers[name] = this.#options.clock.setTimeout(() => {
      this.#timers[name] = null;
      then();
    }, milliseconds);
  }

  #cancel(name) {
    if (this.#timers[name] !== null) this.#options.clock.clearTimeout(this.#timers[name]);
    this.#timers[name] = null;
  }

  #now() {
    return this.#options.clock.now();
  }
}

/** The browser's own time. */
export const REAL = {
  setTimeout: (...args) => globalThis.setTimeout(...args),
  clearTimeout: (id) => globalThis.clearTimeout(id),
  now: () => Date.now(),
};

/** How long to wait after so many failures: between a half and the whole, so that a thousand pages do not come at once. */
export function backoff(failures, { base, cap, random }) {
  const limit = Math.min(cap, base * 2 ** (failures - 1));
  return limit / 2 + (random() * limit) / 2;
}

let shared = null;

/** The connection of this tab. */
export function connection() {
  const url = new URL("/ws/", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  shared ??= new Connection({ url: url.href });
  return shared;
}
