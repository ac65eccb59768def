/* Log: draws a LogStore. Promises that whatever the length of the log only the rows near the visible part
 * are in the document, that lines are text and never markup, that the end is followed until the
 * reader scrolls up, and that what the reader looks at does not move when lines come or go.
 * Changes are drawn once a frame. */

import { mark } from "./ansi.js";
import { Heights } from "./heights.js";
import { occurrences } from "./logstore.js";

const OVERSCAN = 20; // Rows above and below: what a quick scroll shows before the next frame.
const LONGEST = 10_000; // Characters of a line that are drawn; the download has them all.

export class LogView {
  #store;
  #search;
  #scroller;
  #size;
  #window;
  #on;
  #heights;
  #rowHeight = 20;
  #columns = 80;
  #charWidth = 8;
  #nodes = new Map(); // Drawn rows by line number.
  #lines = null; // The shown line numbers while filtered; null for all.
  #base = 1; // The line number of row 0, as last laid out.
  #lastTop = 0;
  #frame = 0;
  #following = true;
  #wrap = false;
  #target = null; // {from, to, reached}
  #longest = 0;

  /** `on`: onFollow(boolean), onDraw(), moreText(count) for the end of an over-long line. */
  constructor(scroller, store, search, on = {}) {
    this.#scroller = scroller;
    this.#size = scroller.querySelector(".log-size");
    this.#window = scroller.querySelector(".log-window");
    this.#store = store;
    this.#search = search;
    this.#on = on;
    this.#measure();
    this.#heights = new Heights(this.#rowHeight);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(scroller);
  }

  get following() {
    return this.#following;
  }

  get wrap() {
    return this.#wrap;
  }

  get filtered() {
    return this.#lines !== null;
  }

  /** How many rows are in the document. */
  get drawn() {
    return this.#nodes.size;
  }

  /** Lines have come or gone, or the search has found more. */
  changed() {
    if (this.#frame) return;
    // Hidden tabs have no frames; the view is then drawn when the tab is shown.
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw();
    });
  }

  /** Draw at once. */
  draw() {
    this.#layout();
    if (this.#target && !this.#target.reached && this.#store.has(this.#target.from)) {
      this.#target.reached = true;
      this.#scrollTo(this.#target.from);
    }
    if (this.#following && !this.#selecting()) this.#toEnd();
    this.#render();
    this.#on.onDraw?.();
  }

  follow(on) {
    if (on !== this.#following) {
      this.#following = on;
      this.#on.onFollow?.(on);
    }
    if (on) {
      this.#target = this.#target && { ...this.#target, reached: true };
      this.#toEnd();
      this.#render();
    }
  }

  /** Show lines `from` to `to` as chosen, and go there as soon as they exist. */
  select(from, to = from, { scroll = true } = {}) {
    this.#target = { from: Math.min(from, to), to: Math.max(from, to), reached: !scroll };
    if (scroll) this.follow(false);
    this.#redraw();
  }

  /** Go to a line without choosing it. */
  goTo(line) {
    this.follow(false);
    this.#layout();
    this.#scrollTo(line);
    this.#render();
  }

  setWrap(on) {
    const line = this.#anchor();
    this.#wrap = on;
    this.#scroller.classList.toggle("is-wrapped", on);
    this.#relayout(line);
  }

  /** Show only the lines that the search has found, or all again. */
  setFilter(on) {
    const line = this.#anchor();
    this.#lines = on ? this.#search.lines : null;
    this.#relayout(line);
  }

  /** The search is another one: rows are marked anew. */
  searchChanged() {
    if (this.#lines) this.setFilter(true);
    else this.#redraw();
  }

  reset() {
    this.#nodes.clear();
    this.#window.replaceChildren();
    this.#longest = 0;
    this.#size.style.minWidth = "";
    this.#relayout(null);
  }

  // --- geometry ---

  #lineOf(row) {
    return this.#lines ? this.#lines[row] : this.#base + row;
  }

  #rowOf(line) {
    if (!this.#lines) return line - this.#base;
    let low = 0;
    let high = this.#lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#lines[middle] < line) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #measure() {
    const probe = document.createElement("div");
    probe.className = "log-row is-probe";
    const text = document.createElement("span");
    text.className = "log-text";
    text.textContent = "0".repeat(100);
    probe.append(text);
    this.#window.append(probe);
    this.#rowHeight = probe.getBoundingClientRect().height || 20;
    const range = document.createRange();
    range.selectNodeContents(text);
    this.#charWidth = range.getClientRects()[0]?.width / 100 || 8;
    const box = text.getBoundingClientRect();
    const room = this.#scroller.clientWidth - (box.left - probe.getBoundingClientRect().left) - 16;
    this.#columns = Math.max(10, Math.floor(room / this.#charWidth));
    probe.remove();
  }

  /** A guess that drawing corrects. */
  #guess(row) {
    const length = Math.min(this.#store.raw(this.#lineOf(row)).length, LONGEST);
    return this.#rowHeight * Math.max(1, Math.ceil(length / this.#columns));
  }

  /** Bring the heights in line with the store, keeping what is looked at in its place. */
  #layout() {
    if (this.#lines) this.#lines = this.#search.lines;
    const base = this.#lines ? (this.#lines[0] ?? this.#store.first) : this.#store.first;
    const count = this.#lines ? this.#lines.length : this.#store.count;
    const gone = base !== this.#base || count < this.#heights.count;
    const anchor = gone && !this.#following ? this.#anchor() : null;
    this.#base = base;
    if (!this.#wrap) this.#heights.setUniform(count, this.#rowHeight);
    else if (gone) this.#heights.setEach(count, (row) => this.#guess(row));
    else this.#heights.grow(count, (row) => this.#guess(row));
    this.#size.style.height = `${this.#heights.total}px`;
    if (anchor) this.#setTop(this.#heights.top(Math.max(0, this.#rowOf(anchor.line))) + anchor.inside);
  }

  #relayout(anchor) {
    this.#nodes.clear();
    this.#window.replaceChildren();
    const count = this.#lines ? this.#lines.length : this.#store.count;
    this.#base = this.#lines ? (this.#lines[0] ?? this.#store.first) : this.#store.first;
    if (this.#wrap) this.#heights.setEach(count, (row) => this.#guess(row));
    else this.#heights.setUniform(count, this.#rowHeight);
    this.#size.style.height = `${this.#heights.total}px`;
    if (anchor && !this.#following) this.#setTop(this.#heights.top(this.#rowOf(anchor.line)) + anchor.inside);
    this.draw();
  }

  /** The line at the top of the visible part, and how far it is scrolled out. */
  #anchor() {
    if (!this.#heights.count) return null;
    const top = this.#scroller.scrollTop;
    const row = this.#heights.rowAt(top);
    return { line: this.#lineOf(row), inside: top - this.#heights.top(row) };
  }

  #resized() {
    const before = [this.#columns, this.#rowHeight].join();
    this.#measure();
    if (this.#wrap && before !== [this.#columns, this.#rowHeight].join()) this.#relayout(this.#anchor());
    else this.draw();
  }

  // --- scrolling ---

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 2;
    if (Math.abs(scrollTop - this.#lastTop) >= 1) {
      // Somebody else than this view has moved it: the reader.
      if (atEnd && scrollTop > this.#lastTop) this.#setFollowing(true);
      else if (scrollTop < this.#lastTop && !atEnd) this.#setFollowing(false);
    }
    this.#lastTop = scrollTop;
    this.#render();
  }

  #setFollowing(on) {
    if (on === this.#following) return;
    this.#following = on;
    this.#on.onFollow?.(on);
  }

  #setTop(top) {
    this.#scroller.scrollTop = top;
    this.#lastTop = this.#scroller.scrollTop;
  }

  #toEnd() {
    this.#setTop(this.#heights.total);
  }

  #scrollTo(line) {
    const row = Math.max(0, Math.min(this.#rowOf(line), this.#heights.count - 1));
    const middle = (this.#scroller.clientHeight - this.#rowHeight) / 2;
    this.#setTop(Math.max(0, this.#heights.top(row) - middle));
    if (!this.#wrap) return;
    this.#render(); // Heights are known once drawn.
    this.#setTop(Math.max(0, this.#heights.top(row) - middle));
  }

  /** Whether text of the log is being selected: following would take it away. */
  #selecting() {
    const selection = getSelection();
    return !!selection && !selection.isCollapsed && this.#window.contains(selection.anchorNode);
  }

  // --- drawing ---

  #redraw() {
    this.#nodes.clear();
    this.#window.replaceChildren();
    this.draw();
  }

  #render() {
    const { scrollTop, clientHeight } = this.#scroller;
    const count = this.#heights.count;
    const first = Math.max(0, this.#heights.rowAt(scrollTop) - OVERSCAN);
    const last = Math.min(count, this.#heights.rowAt(scrollTop + clientHeight) + 1 + OVERSCAN);
    this.#fill(count ? first : 0, count ? last : 0);
    if (this.#wrap && this.#correct(first, last)) {
      this.#size.style.height = `${this.#heights.total}px`;
      if (this.#following && !this.#selecting()) this.#toEnd();
    }
    this.#window.style.transform = `translateY(${this.#heights.top(first)}px)`;
  }

  /** Exactly the rows [first, last), reusing those that are there: a selection in them survives. */
  #fill(first, last) {
    const wanted = new Set();
    for (let row = first; row < last; row += 1) wanted.add(this.#lineOf(row));
    for (const [line, node] of this.#nodes) {
      if (wanted.has(line)) continue;
      node.remove();
      this.#nodes.delete(line);
    }
    let place = this.#window.firstChild;
    for (const line of wanted) {
      const known = this.#nodes.get(line);
      if (known) {
        place = known.nextSibling;
        continue;
      }
      const node = this.#row(line);
      this.#nodes.set(line, node);
      this.#window.insertBefore(node, place);
    }
    if (!this.#wrap) this.#size.style.minWidth = `${Math.ceil(this.#longest * this.#charWidth) + 96}px`;
    else this.#size.style.minWidth = "";
  }

  /** Take the real heights of the drawn rows; what is above the visible part must not push it. */
  #correct(first, last) {
    const top = this.#heights.rowAt(this.#scroller.scrollTop);
    let above = 0;
    let changed = false;
    for (let row = first; row < last; row += 1) {
      const node = this.#nodes.get(this.#lineOf(row));
      const difference = this.#heights.correct(row, node.getBoundingClientRect().height);
      if (difference) changed = true;
      if (row < top) above += difference;
    }
    if (above) {
      this.#size.style.height = `${this.#heights.total}px`;
      this.#setTop(this.#scroller.scrollTop + above);
    }
    return changed;
  }

  #row(line) {
    const node = document.createElement("div");
    node.className = "log-row";
    node.dataset.stream = this.#store.stream(line);
    if (this.#target && line >= this.#target.from && line <= this.#target.to) node.classList.add("is-target");
    const link = document.createElement("a");
    link.className = "log-number";
    link.href = `#L${line}`;
    link.tabIndex = -1;
    link.textContent = line;
    const text = document.createElement("span");
    text.className = "log-text";
    this.#write(text, line);
    node.append(link, text);
    return node;
  }

  #write(into, line) {
    let spans = this.#store.spans(line);
    let length = spans.reduce((sum, span) => sum + span.text.length, 0);
    const more = length - LONGEST;
    if (more > 0) {
      spans = cut(spans, LONGEST);
      length = LONGEST;
    }
    this.#longest = Math.max(this.#longest, length);
    if (this.#search?.active) {
      const visible = spans.map((span) => span.text).join("");
      spans = mark(spans, occurrences(visible, this.#search.pattern));
    }
    for (const span of spans) into.append(drawn(span));
    if (more > 0) {
      const note = document.createElement("span");
      note.className = "log-more";
      note.textContent = this.#on.moreText?.(more) ?? "…";
      into.append(note);
    }
  }
}

function cut(spans, length) {
  const out = [];
  let left = length;
  for (const span of spans) {
    if (left <= 0) break;
    out.push({ ...span, text: span.text.slice(0, left) });
    left -= span.text.length;
  }
  return out;
}

/** A span as a node. Colours of the theme are classes; others are set on the style object, which CSP allows. */
export function drawn({ text, style, marked }) {
  const classes = ["bold", "dim", "italic", "underline", "strike"].filter((name) => style[name]).map((name) => `ansi-${name}`);
  let { fg, bg } = style;
  if (style.inverse) [fg, bg] = [bg ?? "under", fg ?? "over"];
  if (fg === null && bg === null && !classes.length && !marked) return document.createTextNode(text);
  const node = document.createElement(marked ? "mark" : "span");
  node.textContent = text;
  if (typeof fg === "string" && fg.startsWith("#")) node.style.color = fg;
  else if (fg !== null) classes.push(`ansi-fg-${fg}`);
  if (typeof bg === "string" && bg.startsWith("#")) node.style.backgroundColor = bg;
  else if (bg !== null) classes.push(`ansi-bg-${bg}`);
  node.className = classes.join(" ");
  return node;
}
