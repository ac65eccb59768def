/* Log store: the lines of a run by number, and the search in them. No DOM.
 *
 * Promises: line n is what was printed as line n, with the colours that were in force; repeated lines are
 * ignored; memory is bounded by `maxLines` and `maxChars`, of which the oldest lines pay. A search
 * covers every kept line, works in slices that leave the page responsive, and goes on with each
 * appended line. */

import { PLAIN, parse, plain } from "./ansi.js";

const SLICE = 8_000; // Lines searched in one go: a few milliseconds.

export class LogStore {
  #texts = [];
  #streams = [];
  #styles = new Map(); // The style at a line's start, where it is not plain.
  #running = new Map(); // The style in force per stream: their colours do not mix.
  #chars = 0;
  #first = 1;

  constructor({ maxLines = 200_000, maxChars = 96 * 2 ** 20 } = {}) {
    this.maxLines = maxLines;
    this.maxChars = maxChars;
    this.dropped = 0;
  }

  /** The number of the oldest kept line. */
  get first() {
    return this.#first;
  }

  /** The number that the next line will have. */
  get next() {
    return this.#first + this.#texts.length;
  }

  get count() {
    return this.#texts.length;
  }

  has(line) {
    return line >= this.#first && line < this.next;
  }

  raw(line) {
    return this.#texts[line - this.#first];
  }

  stream(line) {
    return this.#streams[line - this.#first];
  }

  spans(line) {
    return parse(this.raw(line), this.#styles.get(line) ?? PLAIN).spans;
  }

  clear() {
    this.#texts = [];
    this.#streams = [];
    this.#styles.clear();
    this.#running.clear();
    this.#chars = 0;
    this.#first = 1;
    this.dropped = 0;
  }

  append(firstLine, lines, stream) {
    if (this.count && firstLine > this.next) {
      // Lines in between are gone for good (the page says so): what came before them goes too.
      this.#drop(this.count);
    }
    if (!this.count) this.#first = firstLine;
    const from = this.next - firstLine;
    for (let at = Math.max(0, from); at < lines.length; at += 1) this.#push(lines[at], stream);
    this.#bound();
  }

  #push(text, stream) {
    const style = this.#running.get(stream) ?? PLAIN;
    if (style !== PLAIN) this.#styles.set(this.next, style);
    if (text.includes("\x1b[")) this.#running.set(stream, parse(text, style).style);
    this.#texts.push(text);
    this.#streams.push(stream);
    this.#chars += text.length;
  }

  #bound() {
    if (this.count <= this.maxLines && this.#chars <= this.maxChars) return;
    // A tenth at a time: cutting the front of an array is a copy.
    let count = Math.max(this.count - this.maxLines, Math.floor(this.maxLines / 10));
    let left = this.#chars;
    for (let at = 0; at < this.count; at += 1) {
      if (at >= count && left <= this.maxChars) break;
      left -= this.#texts[at].length;
      count = Math.max(count, at + 1);
    }
    count = Math.min(count, this.count - 1);
    this.dropped += count;
    this.#drop(count);
  }

  #drop(count) {
    for (let at = 0; at < count; at += 1) {
      this.#chars -= this.#texts[at].length;
      this.#styles.delete(this.#first + at);
    }
    this.#texts.splice(0, count);
    this.#streams.splice(0, count);
    this.#first += count;
  }
}

/** Where `query` occurs in a visible text, ignoring case: [from, to) pairs. */
export function occurrences(text, pattern) {
  pattern.lastIndex = 0; // `matchAll` would begin where the last test has ended.
  return [...text.matchAll(pattern)].map((match) => [match.index, match.index + match[0].length]);
}

/** A search in a store: `lines` are the numbers of the lines that match, ascending. */
export class Search {
  #store;
  #onProgress;
  #defer;
  #next = 0;
  #turn = 0;

  /** `onProgress` is called after every slice; `defer(callback)` runs the next slice a little later. */
  constructor(store, onProgress, defer = (callback) => setTimeout(callback, 0)) {
    this.#store = store;
    this.#onProgress = onProgress;
    this.#defer = defer;
    this.query = "";
    this.pattern = null;
    this.lines = [];
    this.busy = false;
  }

  get active() {
    return this.pattern !== null;
  }

  start(query) {
    this.#turn += 1;
    this.query = query;
    this.pattern = query ? new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu") : null;
    this.lines = [];
    this.#next = this.#store.first;
    this.busy = false;
    if (this.pattern) this.#slice(this.#turn);
    this.#onProgress();
  }

  /** Look at what was appended since, and forget what was dropped. */
  update() {
    if (!this.active || this.busy) return;
    this.#slice(this.#turn);
  }

  #slice(turn) {
    if (turn !== this.#turn) return;
    const store = this.#store;
    if (this.lines.length && this.lines[0] < store.first) {
      this.lines = this.lines.filter((line) => line >= store.first);
    }
    this.#next = Math.max(this.#next, store.first);
    const end = Math.min(store.next, this.#next + SLICE);
    for (; this.#next < end; this.#next += 1) {
      this.pattern.lastIndex = 0;
      if (this.pattern.test(plain(store.raw(this.#next)))) this.lines.push(this.#next);
    }
    const was = this.busy;
    this.busy = this.#next < store.next;
    if (this.busy) this.#defer(() => this.#slice(turn));
    if (was || this.busy) this.#onProgress();
  }
}
