/* Stream: one execution's events, in order, each exactly once, for as long as somebody looks.
 *
 * Promises: `onEvents` gets events whose `seq` is cursor+1, cursor+2, ... without gap or duplicate, over
 * any mix of connections, reconnects and polling; a connection that fails is replaced by itself; after
 * the end nothing connects again. Loss is never silent: `onReset` (start again from nothing) and
 * `onTruncated` (the oldest are gone) say so.
 *
 * How: a connection starts at `after=cursor`. An event that is not cursor+1 is dropped if it is old; if it is
 * new there is a gap, and pages are read over GET until the cursor has passed it. Events that arrive
 * meanwhile need no buffer: they too are either next or will be read. No DOM; connection, fetch, clock
 * and chance are injected, so that every path can be tested without waiting.
 */

import { REAL, REFUSED, SIGNED_OUT, backoff } from "./socket.js";

export const State = Object.freeze({
  CONNECTING: "connecting",
  LIVE: "live",
  RECONNECTING: "reconnecting",
  POLLING: "polling",
  ENDED: "ended",
  REFUSED: "refused",
  SIGNED_OUT: "signed-out",
});

const LOST = 1006;
const FINAL = new Set([State.ENDED, State.REFUSED, State.SIGNED_OUT]);

const DEFAULTS = {
  watchdog: 40_000, // No frame for so long (the server beats every 15 s) means a dead connection.
  connectTimeout: 10_000,
  fetchTimeout: 30_000,
  backoffBase: 500,
  backoffCap: 15_000,
  pollInterval: 2_000,
  pollAfter: 3, // Failed connections in a row before pages are polled beside the attempts.
  pageSize: 500,
};

class Refusal extends Error {
  constructor(state) {
    super(state);
    this.state = state;
  }
}

/** The `connect` of a stream that is read in pages alone: nothing ever opens. */
export function pagesOnly(after, { onClose }) {
  Promise.resolve().then(() => onClose(LOST));
  return { close() {} };
}

export class ExecutionStream {
  #options;
  #on;
  #cursor;
  #epoch = null;
  #state = State.CONNECTING;
  #stopped = false;
  #channel = null;
  #heard = 0; // When the current channel last said something.
  #failures = 0;
  #timers = { retry: null, watchdog: null, poll: null };
  #target = 0; // The highest seq known to exist.
  #end = null;
  #reading = false;
  #wakeReader = null;

  /**
   * @param {object} options connect(after, {onOpen, onFrame, onClose}), which returns something to close(),
   *   and eventsUrl; optional: after, fetch, clock ({setTimeout, clearTimeout, now}), random, and any
   *   of DEFAULTS.
   * @param {object} on onEvents(events), onState(state), onReset(epoch), onTruncated(firstAvailable),
   *   onEnd(status|null); all optional.
   */
  constructor(options, on = {}) {
    this.#options = {
      ...DEFAULTS,
      fetch: (...args) => globalThis.fetch(...args),
      clock: REAL,
      random: Math.random,
      ...options,
    };
    this.#on = on;
    this.#cursor = options.after ?? 0;
  }

  get cursor() {
    return this.#cursor;
  }

  get state() {
    return this.#state;
  }

  start() {
    this.#say(State.CONNECTING, true);
    this.#connect();
  }

  /** Let go of everything. Nothing is called afterwards. */
  stop() {
    this.#stopped = true;
    this.#release();
  }

  /** The network or the tab is back: try at once instead of waiting out the back-off. */
  wake() {
    if (this.#over()) return;
    if (this.#channel && this.#now() - this.#heard < this.#options.watchdog) return;
    this.#drop();
    this.#connect();
    if (this.#polls()) this.#poll();
    this.#wakeReader?.();
  }

  // --- the connection ---

  #connect() {
    this.#cancel("retry");
    if (this.#over()) return;
    const after = this.#named(this.#cursor);
    // A channel that was replaced may still speak: only the current one is listened to.
    const current = (then) => (value) => {
      if (this.#channel === channel && !this.#over()) then(value);
    };
    const channel = this.#options.connect(after, {
      onOpen: current(() => {
        this.#heard = this.#now();
        this.#say(State.LIVE);
        this.#watch(this.#options.watchdog);
      }),
      onFrame: current((frame) => this.#frame(frame)),
      onClose: current((code) => this.#closed(code)),
    });
    this.#channel = channel;
    this.#heard = this.#now();
    this.#watch(this.#options.connectTimeout);
  }

  #watch(limit, wait = limit) {
    this.#arm("watchdog", wait, () => {
      const left = this.#heard + limit - this.#now();
      if (left > 0) {
        this.#watch(limit, left);
        return;
      }
      this.#drop();
      this.#failed();
    });
  }

  #closed(code) {
    this.#drop();
    if (code === SIGNED_OUT) this.#finish(State.SIGNED_OUT);
    else if (code === REFUSED) this.#finish(State.REFUSED);
    else this.#failed();
  }

  #failed() {
    if (this.#over()) return;
    this.#failures += 1;
    // It is POLLING as long as pages answer.
    if (this.#state !== State.POLLING) this.#say(State.RECONNECTING);
    if (this.#polls() && this.#timers.poll === null) this.#poll();
    this.#arm("retry", this.#backoff(this.#failures), () => this.#connect());
  }

  #frame(frame) {
    this.#heard = this.#now();
    this.#failures = 0;
    this.#cancel("poll");
    this.#say(State.LIVE);
    switch (frame.type) {
      case "events":
        this.#take(frame.events);
        break;
      case "reset":
        this.#reset(frame.epoch);
        break;
      case "truncated":
        this.#truncated(frame.first_available);
        break;
      case "end":
        this.#end = { status: frame.status, lastSeq: frame.last_seq };
        this.#target = Math.max(this.#target, frame.last_seq);
        break;
      default: // A beat, or something newer than this client.
    }
    this.#settle();
  }

  // --- events ---

  #take(events) {
    const next = [];
    for (const event of events) {
      if (event.seq === this.#cursor + 1) {
        this.#cursor = event.seq;
        next.push(event);
      } else if (event.seq > this.#cursor) {
        this.#target = Math.max(this.#target, event.seq);
      }
    }
    if (next.length) this.#on.onEvents?.(next);
    return next.length;
  }

  #reset(epoch) {
    this.#epoch = epoch ?? null;
    this.#cursor = 0;
    this.#target = 0;
    this.#end = null;
    this.#on.onReset?.(epoch);
  }

  #truncated(first) {
    if (!(first > this.#cursor + 1)) return;
    this.#cursor = first - 1;
    this.#on.onTruncated?.(first);
  }

  /** Whatever happened: finish if all is there, read if something is missing. */
  #settle() {
    if (this.#over()) return;
    if (this.#end && this.#cursor >= this.#end.lastSeq) this.#finish(State.ENDED);
    else if (this.#cursor < this.#target) this.#read();
  }

  // --- pages ---

  /** Read pages until the cursor has reached everything that is known to exist. One reader at a time. */
  async #read() {
    if (this.#reading) return;
    this.#reading = true;
    let failures = 0;
    try {
      while (!this.#over()) {
        let page;
        const asked = this.#cursor;
        try {
          page = await this.#page(asked);
        } catch (error) {
          if (this.#over()) return;
          if (error instanceof Refusal) {
            this.#finish(error.state);
            return;
          }
          if (this.#state === State.POLLING) this.#say(State.RECONNECTING);
          failures += 1;
          await this.#pause(this.#backoff(failures));
          continue;
        }
        if (this.#over()) return;
        if (this.#polls()) this.#say(State.POLLING);
        if (page.epoch !== undefined && this.#isOtherEpoch(page)) continue;
        failures = this.#takePage(page, asked) ? 0 : failures + 1;
        if (page.closed && this.#cursor >= page.last_seq) {
          this.#end ??= { status: null, lastSeq: page.last_seq };
        }
        if (this.#cursor >= Math.max(this.#target, page.last_seq)) return;
        if (failures) await this.#pause(this.#backoff(failures));
      }
    } finally {
      this.#reading = false;
      this.#wakeReader = null;
      if (this.#end) this.#settle();
    }
  }

  /** A cursor as the server reads it; without an epoch, it takes it for the first one's. */
  #named(seq) {
    return this.#epoch === null ? `${seq}` : `${this.#epoch}:${seq}`;
  }

  #isOtherEpoch(page) {
    const other = this.#epoch !== null && page.epoch !== this.#epoch;
    // Without a known epoch, a cursor beyond the head can only be of another stream.
    const beyond = this.#cursor > page.last_seq && this.#target <= page.last_seq;
    this.#epoch = page.epoch;
    if (!other && !beyond) return false;
    this.#reset(page.epoch);
    return true;
  }

  /** Apply a page that was asked for with `after=asked`; returns whether the reader got any further. */
  #takePage(page, asked) {
    if (page.first_available) this.#truncated(page.first_available);
    const first = page.events[0]?.seq;
    // Pages are complete (what is visible has no holes), so a later first event means that the
    // earlier ones are gone. The connection may have moved the cursor meanwhile: then it is just old.
    if (first > asked + 1 && this.#cursor === asked) this.#truncated(first);
    this.#take(page.events);
    return this.#cursor > asked;
  }

  async #page(after) {
    const url = new URL(this.#options.eventsUrl);
    url.searchParams.set("after", this.#named(after));
    url.searchParams.set("limit", this.#options.pageSize);
    const abort = new AbortController();
    const { clock } = this.#options;
    const timer = clock.setTimeout(() => abort.abort(), this.#options.fetchTimeout);
    try {
      const response = await this.#options.fetch(url.href, {
        signal: abort.signal,
        headers: { Accept: "application/json" },
        cache: "no-cache", // Ask each time; the server need not send again what has not changed.
      });
      if (response.status === 401 || response.status === 403) throw new Refusal(State.SIGNED_OUT);
      if (response.status === 404) throw new Refusal(State.REFUSED);
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      return await response.json();
    } finally {
      clock.clearTimeout(timer);
    }
  }

  /** Whether connections have failed so often that pages are asked for as well. */
  #polls() {
    return this.#failures >= this.#options.pollAfter;
  }

  async #poll() {
    this.#cancel("poll");
    await this.#read();
    if (this.#over() || this.#failures === 0) return;
    this.#arm("poll", this.#options.pollInterval, () => this.#poll());
  }

  // --- ends, timers ---

  #finish(state) {
    if (this.#over()) return;
    this.#release();
    this.#say(state);
    if (state === State.ENDED) this.#on.onEnd?.(this.#end?.status ?? null);
  }

  #release() {
    this.#drop();
    this.#cancel("retry");
    this.#cancel("poll");
    this.#wakeReader?.();
  }

  #drop() {
    this.#cancel("watchdog");
    const channel = this.#channel;
    this.#channel = null;
    channel?.close();
  }

  #over() {
    return this.#stopped || FINAL.has(this.#state);
  }

  #say(state, always = false) {
    if (state === this.#state && !always) return;
    this.#state = state;
    if (!this.#stopped) this.#on.onState?.(state);
  }

  #backoff(failures) {
    const { backoffBase: base, backoffCap: cap, random } = this.#options;
    return backoff(failures, { base, cap, random });
  }

  #pause(milliseconds) {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const timer = clock.setTimeout(resolve, milliseconds);
      this.#wakeReader = () => {
        clock.clearTimeout(timer);
        resolve();
      };
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
