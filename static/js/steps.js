/* Steps: the tree of what the robot says it does. Promises that each step stands under its parent in the
 * order in which it began, with state and duration; that running and failed branches are open and
 * finished ones closed unless the reader decided otherwise; and that only what is open is in the
 * document, at most a page of it per parent, so that ten thousand keywords cost nothing. */

import { say } from "./strings.js";
import { formatDuration, formatRunning } from "./times.js";

const PAGE = 100;
const FINISHED = new Set(["passed", "failed", "skipped", "stopped"]);
const GROUPS = { suite: 3, task: 1 }; // What only holds what the reader looks for, and down to which depth it is open.
const ICONS = { started: "running", passed: "completed", failed: "failed", skipped: "skipped", stopped: "cancelled" };

export class StepTree {
  #root;
  #icons;
  #onJump;
  #nodes = new Map();
  #top = branch({ id: null, depth: -1 });
  #running = new Set();
  #dirty = new Set();

  /** `icons` is the address of the icon sprite; `onJump(line)` is called when a step is chosen. */
  constructor(root, { icons, onJump }) {
    this.#root = root;
    this.#icons = icons;
    this.#onJump = onJump;
    this.#top.list = element("ul", "step-list");
    root.append(this.#top.list);
  }

  get count() {
    return this.#nodes.size;
  }

  /** Take one step event. `line` is the log line that comes next, `scope` keeps attempts apart. */
  apply({ at, data }, line, scope = "") {
    const key = `${scope}/${data.id}`;
    let node = this.#nodes.get(key);
    if (!node) {
      const parent = this.#nodes.get(`${scope}/${data.parent}`) ?? this.#top;
      node = branch({ id: key, depth: parent.depth + 1, parent, line, start: Date.parse(at) });
      this.#nodes.set(key, node);
      parent.children.push(node);
      this.#dirty.add(parent);
    }
    node.name = data.name ?? node.name;
    node.type = data.type ?? node.type;
    node.message = data.message ?? node.message;
    node.state = data.state;
    if (FINISHED.has(data.state)) {
      node.end = Date.parse(at);
      this.#running.delete(node);
    } else {
      this.#running.add(node);
    }
    this.#dirty.add(node);
    // A failure opens the way to it.
    if (data.state === "failed") for (let up = node.parent; up !== this.#top; up = up.parent) this.#dirty.add(up);
  }

  /** The run is over: what still runs was stopped at `at`. */
  stop(at) {
    for (const node of this.#running) {
      node.state = "stopped";
      node.end = Math.max(node.start, at);
      this.#dirty.add(node);
    }
    this.#running.clear();
  }

  reset() {
    this.#nodes.clear();
    this.#running.clear();
    this.#dirty.clear();
    this.#top.children = [];
    this.#top.list.replaceChildren();
  }

  /** Draw what has changed. */
  draw() {
    if (!this.#dirty.size) return;
    const { scrollTop, clientHeight, scrollHeight } = this.#root;
    const atEnd = this.#running.size > 0 && scrollTop + clientHeight >= scrollHeight - 8;
    const dirty = [...this.#dirty].sort((one, other) => one.depth - other.depth);
    this.#dirty.clear();
    for (const node of dirty) {
      if (node === this.#top) this.#drawChildren(node);
      else if (node.element) this.#drawNode(node);
    }
    if (atEnd) this.#root.scrollTop = this.#root.scrollHeight;
  }

  /** Let the durations of running steps go on. */
  tick(now = Date.now()) {
    for (const node of this.#running) {
      if (node.element?.isConnected) node.time.textContent = formatRunning(now - node.start);
    }
  }

  #isOpen(node) {
    if (node.chosen !== null) return node.chosen;
    return node.state === "started" || node.state === "failed" || node.depth < (GROUPS[node.type] ?? 0);
  }

  #drawNode(node) {
    if (!node.element) this.#build(node);
    const open = this.#isOpen(node);
    node.element.dataset.state = node.state;
    node.icon.setAttribute("href", `${this.#icons}#${ICONS[node.state] ?? "pending"}`);
    node.label.textContent = node.name || node.type || "";
    node.spoken.textContent = `${say(`state.${node.state}`)} `;
    node.time.textContent = timeOf(node);
    node.note.textContent = node.message ?? "";
    node.note.hidden = !node.message;
    node.toggle.hidden = !node.children.length;
    node.toggle.setAttribute("aria-expanded", String(open));
    node.toggle.setAttribute("aria-label", node.label.textContent);
    node.list.hidden = !open;
    if (open) this.#drawChildren(node);
    else node.list.replaceChildren();
  }

  /** The newest `limit` children in order, and a button for the earlier ones. */
  #drawChildren(node) {
    if (node.element) node.toggle.hidden = !node.children.length;
    if (node !== this.#top && !this.#isOpen(node)) return;
    const shown = node.children.slice(-node.limit);
    const hidden = node.children.length - shown.length;
    const items = shown.map((child) => {
      if (!child.element) this.#drawNode(child);
      return child.element;
    });
    const keep = new Set(items);
    for (const item of [...node.list.children]) if (!keep.has(item)) item.remove();
    let place = node.list.firstChild;
    for (const item of items) {
      if (item === place) place = place.nextSibling;
      else node.list.insertBefore(item, place);
    }
    if (hidden) node.list.prepend(this.#moreButton(node, hidden));
  }

  #moreButton(node, hidden) {
    const item = element("li", "step-more");
    const button = element("button", "button is-small");
    button.type = "button";
    button.textContent = say("steps.more", { count: Math.min(hidden, PAGE) });
    button.addEventListener("click", () => {
      node.limit += PAGE;
      this.#drawChildren(node);
    });
    item.append(button);
    return item;
  }

  #build(node) {
    const item = element("li", "step");
    const row = element("div", "step-row");
    node.toggle = element("button", "step-toggle");
    node.toggle.type = "button";
    node.toggle.append(icon(`${this.#icons}#chevron`).svg);
    node.toggle.addEventListener("click", () => {
      node.chosen = !this.#isOpen(node);
      this.#drawNode(node);
    });
    const jump = element("button", "step-jump");
    jump.type = "button";
    jump.title = say("steps.line");
    jump.addEventListener("click", () => this.#onJump(node.line));
    const state = icon(`${this.#icons}#pending`);
    node.icon = state.use;
    node.spoken = element("span", "visually-hidden");
    node.label = element("span", "step-name");
    node.time = element("span", "step-time");
    jump.append(state.svg, node.spoken, node.label, node.time);
    node.note = element("p", "step-note");
    node.list = element("ul", "step-list");
    row.append(node.toggle, jump);
    item.append(row, node.note, node.list);
    node.element = item;
  }
}

function branch(given) {
  return {
    parent: null, name: "", type: "step", state: "started", message: null, start: 0, end: null, line: 1,
    children: [], chosen: null, limit: PAGE, element: null, list: null, ...given,
  };
}

/** Nothing for a step that took no time to speak of. */
function timeOf({ start, end }) {
  if (end === null) return formatRunning(Date.now() - start);
  return end - start < 1 ? "" : formatDuration(end - start);
}

function element(tag, className) {
  const made = document.createElement(tag);
  made.className = className;
  return made;
}

/** An icon of the sprite. */
export function icon(address) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", address);
  svg.append(use);
  return { svg, use };
}
