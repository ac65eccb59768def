/* Times: promises that every <time data-relative> reads as "3 minutes ago" in the page's language with the
 * exact local time as its title, that [data-since] ticks, and that all of them stay current while
 * the page is visible. Formats are pure functions and used by the other modules. */

import { language } from "./strings.js";

const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const unit = (name, digits = 0) =>
  new Intl.NumberFormat(language, {
    style: "unit", unit: name, unitDisplay: "narrow",
    minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
const UNITS = { hour: unit("hour"), minute: unit("minute"), second: unit("second"), tenths: unit("second", 1), millisecond: unit("millisecond") };
const SIZES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"].map(
  (name, power) =>
    new Intl.NumberFormat(language, {
      style: "unit", unit: name, unitDisplay: power ? "short" : "long", maximumSignificantDigits: 3,
    }),
);

/** 950 ms, 12.3 s, 4 m 05 s or 2 h 13 m, as the language writes them. */
export function formatDuration(milliseconds) {
  const ms = Math.max(0, milliseconds);
  if (ms < 1000) return UNITS.millisecond.format(Math.round(ms));
  const seconds = ms / 1000;
  if (seconds < 59.95) return UNITS.tenths.format(seconds);
  const whole = Math.round(seconds);
  if (whole < 3600) return `${UNITS.minute.format(Math.floor(whole / 60))} ${UNITS.second.format(whole % 60)}`;
  return `${UNITS.hour.format(Math.floor(whole / 3600))} ${UNITS.minute.format(Math.floor((whole % 3600) / 60))}`;
}

/** A duration that goes on, in whole seconds: tenths that jump by ten say nothing. */
export function formatRunning(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  return seconds < 60 ? UNITS.second.format(seconds) : formatDuration(seconds * 1000);
}

export function formatBytes(bytes) {
  let value = bytes;
  let power = 0;
  while (value >= 1000 && power < SIZES.length - 1) {
    value /= 1000;
    power += 1;
  }
  return SIZES[power].format(value);
}

/** "now", "5 min. ago" up to a week, then a date. Seconds would be stale as soon as they are read. */
export function formatRelative(date, now = Date.now()) {
  const seconds = (date.getTime() - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 45) return relative.format(0, "second");
  if (size < 45 * 60) return relative.format(Math.round(seconds / 60), "minute");
  if (size < 22 * 3600) return relative.format(Math.round(seconds / 3600), "hour");
  if (size < 7 * 86400) return relative.format(Math.round(seconds / 86400), "day");
  return short.format(date);
}

export const formatExact = (date) => exact.format(date);

/** Bring every time below `root` up to date. */
export function localise(root = document) {
  const now = Date.now();
  for (const each of root.querySelectorAll("time[data-relative]")) {
    const date = new Date(each.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    each.textContent = formatRelative(date, now);
    each.title = exact.format(date);
  }
  for (const each of root.querySelectorAll("[data-duration]")) {
    each.textContent = formatDuration(Number(each.dataset.duration) * 1000);
  }
  tick(root, now);
}

function tick(root = document, now = Date.now()) {
  for (const each of root.querySelectorAll("[data-since]")) {
    each.textContent = formatRunning(now - Date.parse(each.dataset.since));
  }
}

export function startTimes() {
  localise();
  let turn = 0;
  setInterval(() => {
    if (document.hidden) return;
    turn += 1;
    if (turn % 15) tick();
    else localise();
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) localise();
  });
}
