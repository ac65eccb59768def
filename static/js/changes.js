/* Changes: when a list must be fetched again. Promises: `look` is called soon after the server says that the
 * list has changed, every 30 s in any case, and every 5 s while the server cannot say and something
 * unfinished is shown; one call at a time, none while the page is hidden, and the slower the server
 * answers the fewer. What happened meanwhile is seen as soon as the page is looked at again.
 * No DOM; connection, clock and chance are injected. */

import { REAL, SIGNED_OUT, REFUSED, backoff } from "./socket.js";

const DEFAULTS = {
  always: 30_000,
  unheard: 5_000,
  shortest: 1_000, // Between the begins of two looks...
  share: 10, // ... of which one takes at most a tenth of the time,
  longest: 5_000, // unless the server is very slow indeed.
  backoffBase: 500,
  backoffCap: 15_000,
};

export class Changes {
  #options;
  #channel = null;
  #live = false;
  #stopped = false;
  #failures = 0;
  #busy = false;
  #stale = false;
  #begun = -Infinity;
  #gap;
  #timers = { look: null, retry: null };

  /**
   * @param {object} options connection, topic, look() (a promise; it fails if there was no answer);
   *   optional: isShown(), isUrgent() (something unfinished is shown), clock, random, any of DEFAULTS.
   */
  constructor(options) {
    this.#options = {
      ...DEFAULTS, clock: REAL, random: Math.random, isShown: () => true, isUrgent: () => true, ...options,
    };
    this.#gap = this.#options.shortest;
  }

  start() {
    this.#begun = this.#now();
    this.#subscribe();
    this.#plan();
  }

  stop() {
    this.#stopped = true;
    this.#channel?.close();
    this.#cancel("look");
    this.#cancel("retry");
  }

  /** The page is looked at again, or the network is back. */
  wake() {
    if (this.#stopped) return;
    if (this.#timers.retry !== null) this.#subscribe();
    this.#plan();
  }

  #subscribe() {
    this.#cancel("retry");
    const { connection, topic } = this.#options;
    this.#channel = connection.subscribe(topic, {
      onFrame: (frame) => {
        this.#failures = 0;
        this.#live = true;
        if (frame.type !== "changed") return;
        this.#stale = true;
        this.#plan();
      },
      onClose: (code) => this.#lost(code),
    });
  }

  #lost(code) {
    this.#channel = null;
    this.#live = false;
    if (code === SIGNED_OUT) {
      this.stop();
      return;
    }
    this.#failures += 1;
    const { backoffBase: base, backoffCap: cap, random } = this.#options;
    if (code !== REFUSED) this.#arm("retry", backoff(this.#failures, { base, cap, random }), () => this.#subscribe());
    this.#plan();
  }

  /** Set the time of the next look; whatever happens meanwhile sets it anew. */
  #plan() {
    this.#cancel("look");
    if (this.#stopped || this.#busy || !this.#options.isShown()) return;
    const { always, unheard, isUrgent } = this.#options;
    const usual = !this.#live && isUrgent() ? unheard : always;
    const wait = this.#begun + (this.#stale ? this.#gap : usual) - this.#now();
    this.#arm("look", Math.max(0, wait), () => this.#look());
  }

  async #look() {
    if (!this.#options.isShown()) return;
    this.#busy = true;
    this.#stale = false;
    this.#begun = this.#now();
    try {
      await this.#options.look();
    } catch {
      // Offline, or the server restarts: its `changed` or the next look makes up for it.
    }
    const { shortest, share, longest } = this.#options;
    this.#gap = Math.min(longest, Math.max(shortest, share * (this.#now() - this.#begun)));
    this.#busy = false;
    this.#plan();
  }

  #arm(name, milliseconds, then) {
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
