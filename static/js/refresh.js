/* Refresh: promises that lists of runs stay current. When the server says that one has changed (see
 * changes.js), the page is fetched again, and only the rows whose `data-state` changed are replaced.
 * One request whatever the number of rows, and the server alone draws them. Focus and scroll stay
 * where they are. A [data-space] on the page names the only space whose runs it shows. */

import { Changes } from "./changes.js";
import { connection } from "./socket.js";
import { localise } from "./times.js";

/** Make the [data-refresh] parts of `here` equal those of `fresh`; returns whether anything changed. */
export function merge(here, fresh) {
  let changed = false;
  for (const part of here.querySelectorAll("[data-refresh]")) {
    const other = fresh.querySelector(`[data-refresh="${part.dataset.refresh}"]`);
    if (!other || signature(part) === signature(other)) continue;
    changed = true;
    const rows = part.querySelector("[data-rows]");
    const otherRows = other.querySelector("[data-rows]");
    if (rows && otherRows) mergeRows(rows, otherRows);
    else part.replaceChildren(...document.importNode(other, true).childNodes);
  }
  return changed;
}

const signature = (part) =>
  [...part.querySelectorAll("[data-key]")].map((row) => `${row.dataset.key}=${row.dataset.state}`).join("\n");

function mergeRows(rows, fresh) {
  const focused = rows.contains(document.activeElement) ? document.activeElement.closest("[data-key]") : null;
  const known = new Map([...rows.children].map((row) => [row.dataset.key, row]));
  const wanted = [...fresh.children].map((row) => {
    const old = known.get(row.dataset.key);
    return old && old.dataset.state === row.dataset.state ? old : document.importNode(row, true);
  });
  rows.replaceChildren(...wanted);
  if (focused) rows.querySelector(`[data-key="${focused.dataset.key}"] a`)?.focus({ preventScroll: true });
}

async function look() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!response.ok || response.redirected) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  if (merge(document, fresh)) localise();
}

export function startRefresh() {
  if (!document.querySelector("[data-refresh]")) return;
  const space = document.querySelector("[data-space]")?.dataset.space;
  const changes = new Changes({
    connection: connection(),
    topic: space ? { topic: "space", space: Number(space) } : { topic: "home" },
    look,
    isShown: () => !document.hidden,
    isUrgent: () => document.querySelector("[data-refresh] [data-unfinished]") !== null,
  });
  changes.start();
  document.addEventListener("visibilitychange", () => changes.wake());
  addEventListener("online", () => changes.wake());
  addEventListener("pageshow", (event) => {
    if (event.persisted) changes.wake();
  });
}
