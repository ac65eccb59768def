/* Log panel: the log with its tools. Promises that lines handed to `append` are shown with the next frame,
 * that search, filter, wrap, follow and links to lines (#L12, #L12-L20) work by mouse and by key,
 * and that an empty log says why it is empty. */

import { LogView } from "./log.js";
import { LogStore, Search } from "./logstore.js";
import { say } from "./strings.js";

const TYPING = 120; // Milliseconds of rest before a search starts.

export class LogPanel {
  #store = new LogStore();
  #search;
  #view;
  #parts;
  #emptyKey = "log.waiting";
  #current = 0; // The line of the current match.
  #chosen = null; // Where a range with Shift starts.
  #typing = 0;
  #onDropped;
  #dropped = false;

  /** `onDropped` is called once when the oldest lines leave the page. */
  constructor({ onDropped } = {}) {
    this.#onDropped = onDropped;
    const part = (name) => document.getElementById(`log-${name}`);
    this.#parts = Object.fromEntries(
      ["scroll", "empty", "resume", "query", "found", "previous", "next", "filter", "wrap", "follow", "count"].map(
        (name) => [name, part(name)],
      ),
    );
    this.#search = new Search(this.#store, () => this.#progress());
    this.#view = new LogView(this.#parts.scroll, this.#store, this.#search, {
      onFollow: (on) => this.#showFollow(on),
      onDraw: () => this.#showState(),
      moreText: (count) => say("log.cut", { count }),
    });
    this.#listen();
    this.#fromAddress();
  }

  get nextLine() {
    return this.#store.next;
  }

  append({ first_line: first, lines, stream }) {
    this.#store.append(first, lines, stream);
    this.#search.update();
    this.#view.changed();
    if (this.#store.dropped && !this.#dropped) {
      this.#dropped = true;
      this.#onDropped?.();
    }
  }

  clear() {
    this.#store.clear();
    this.#search.start(this.#search.query);
    this.#view.reset();
  }

  /** Why the log is empty while it is: "log.waiting", "log.quiet" or "log.empty". */
  set emptyKey(key) {
    this.#emptyKey = key;
    this.#showState();
  }

  /** Show a line; the last one if it has not been printed. */
  jump(line) {
    if (!this.#store.count) return;
    this.#view.select(Math.max(this.#store.first, Math.min(line, this.#store.next - 1)));
  }

  /** Act on a key of the page; returns whether it was one of ours. */
  key(key) {
    switch (key) {
      case "/":
        this.#parts.query.focus();
        this.#parts.query.select();
        return true;
      case "n":
        this.#step(1);
        return true;
      case "N":
        this.#step(-1);
        return true;
      case "f":
        this.#view.follow(!this.#view.following);
        return true;
      case "w":
        this.#toggleWrap();
        return true;
      case "g":
        this.#view.goTo(this.#store.first);
        return true;
      case "G":
        this.#view.follow(true);
        return true;
      default:
        return false;
    }
  }

  #listen() {
    const { scroll, resume, query, previous, next, filter, wrap, follow } = this.#parts;
    resume.addEventListener("click", () => {
      this.#view.follow(true);
      scroll.focus({ preventScroll: true });
    });
    follow.addEventListener("click", () => this.#view.follow(!this.#view.following));
    wrap.addEventListener("click", () => this.#toggleWrap());
    filter.addEventListener("click", () => this.#setFilter(!this.#view.filtered));
    previous.addEventListener("click", () => this.#step(-1));
    next.addEventListener("click", () => this.#step(1));
    query.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#look(), TYPING);
    });
    query.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        if (query.value !== this.#search.query) this.#look();
        else this.#step(event.shiftKey ? -1 : 1);
      } else if (event.key === "Escape") {
        event.preventDefault();
        query.value = "";
        this.#look();
        scroll.focus({ preventScroll: true });
      }
    });
    scroll.addEventListener("click", (event) => {
      const link = event.target.closest("a.log-number");
      if (!link) return;
      event.preventDefault();
      this.#choose(Number(link.textContent), event.shiftKey);
    });
    addEventListener("hashchange", () => this.#fromAddress());
  }

  // --- search ---

  #look() {
    clearTimeout(this.#typing);
    const { query, filter } = this.#parts;
    if (query.value === this.#search.query) return;
    this.#current = 0;
    this.#search.start(query.value);
    if (!query.value && this.#view.filtered) this.#setFilter(false);
    filter.disabled = !query.value;
    this.#view.searchChanged();
    if (this.#search.lines.length && !this.#view.filtered) this.#step(1);
  }

  #progress() {
    // The constructor of the search reports before there is a view.
    this.#view?.changed();
  }

  #step(direction) {
    const { lines } = this.#search;
    if (!lines.length) return;
    const later = lines.findIndex((line) => line > this.#current);
    const at = lines.indexOf(this.#current);
    let index;
    if (direction > 0) index = later < 0 ? 0 : later;
    else if (at > 0) index = at - 1;
    else index = lines.length - 1;
    this.#current = lines[index];
    this.#view.select(this.#current);
  }

  #setFilter(on) {
    this.#parts.filter.setAttribute("aria-pressed", String(on));
    this.#view.setFilter(on);
  }

  #toggleWrap() {
    this.#view.setWrap(!this.#view.wrap);
    this.#parts.wrap.setAttribute("aria-pressed", String(this.#view.wrap));
  }

  // --- links to lines ---

  #fromAddress() {
    const match = /^#L(\d{1,9})(?:-L?(\d{1,9}))?$/.exec(location.hash);
    if (!match) return;
    this.#chosen = Number(match[1]);
    this.#view.select(Number(match[1]), Number(match[2] ?? match[1]));
  }

  #choose(line, extend) {
    if (extend && this.#chosen) {
      const [from, to] = [Math.min(line, this.#chosen), Math.max(line, this.#chosen)];
      history.replaceState(null, "", from === to ? `#L${from}` : `#L${from}-L${to}`);
      this.#view.select(from, to, { scroll: false });
      return;
    }
    this.#chosen = line;
    history.replaceState(null, "", `#L${line}`);
    this.#view.select(line, line, { scroll: false });
  }

  // --- what the tools show ---

  #showFollow(on) {
    this.#parts.follow.setAttribute("aria-pressed", String(on));
    this.#showState();
  }

  #showState() {
    const { empty, resume, found, previous, next, filter, count } = this.#parts;
    const { lines, active, busy } = this.#search;
    const nothing = this.#view.filtered ? !lines.length && !busy : !this.#store.count;
    empty.hidden = !nothing;
    if (nothing) empty.textContent = say(this.#view.filtered ? "log.no-match" : this.#emptyKey);
    resume.hidden = this.#view.following || !this.#store.count;
    count.textContent = this.#store.count ? say("log.lines", { count: this.#store.next - 1 }) : "";
    filter.disabled = !active;
    previous.disabled = next.disabled = !lines.length;
    if (!active) found.textContent = "";
    else if (!lines.length) found.textContent = busy ? "…" : say("log.no-match");
    else found.textContent = say("log.count", { index: lines.indexOf(this.#current) + 1 || 0, count: lines.length });
  }
}
