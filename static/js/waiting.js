/* Waiting: while a run waits for its start, says what is before it and how long that may take, and lets who may
 * put it first. Promises to ask no more than once every few seconds, only while the run waits and the page is
 * seen, and to show nothing rather than something old. */

import { say } from "./strings.js";
import { formatDuration } from "./times.js";

const LOOK_EVERY = 5000;

/** What is known of a wait, in words. */
export function describeWait({ ahead, estimate_seconds: estimate, blocked_by: blocker }) {
  const told = [];
  if (blocker) told.push(say("wait.blocked", { name: blocker.name, running: blocker.running, most: blocker.most ?? "–" }));
  if (ahead > 0) told.push(say("wait.ahead", { count: ahead }));
  if (estimate > 0) told.push(say("wait.estimate", { duration: formatDuration(estimate * 1000) }));
  return told.join(" · ");
}

export class Waiting {
  #timer = null;
  #asked = 0;

  constructor({ urls, box, button, onFailure }) {
    this.urls = urls;
    this.box = box;
    this.button = button;
    this.onFailure = onFailure;
    button?.addEventListener("click", () => this.#putFirst());
  }

  /** Tell it whether the run waits; say so as often as you like. */
  set waits(waits) {
    if (this.button) this.button.hidden = !waits;
    if (waits && this.#timer === null) {
      this.#timer = setInterval(() => document.hidden || this.#look(), LOOK_EVERY);
      setTimeout(() => this.#timer !== null && this.#look(), 1000);
    }
    if (!waits) this.#stop();
  }

  #stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#asked += 1;
    this.box.textContent = "";
  }

  async #look() {
    const asked = ++this.#asked;
    const response = await fetch(this.urls.queue, { headers: { Accept: "application/json" } }).catch(() => null);
    const told = response?.status === 200 ? describeWait(await response.json()) : "";
    if (asked === this.#asked) this.box.textContent = told;
  }

  async #putFirst() {
    this.button.disabled = true;
    const token = document.querySelector("meta[name='csrf-token']").content;
    const headers = { "X-CSRFToken": token, Accept: "application/json" };
    const response = await fetch(this.urls.run_next, { method: "POST", headers }).catch(() => null);
    this.button.disabled = false;
    if (!response?.ok) this.onFailure();
    else if (this.#timer !== null) await this.#look();
  }
}
