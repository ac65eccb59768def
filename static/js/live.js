/* Live: the page of one execution. Promises that everything shown is the fold of the event stream: status,
 * reason, progress, steps, log, files and result change together, once a frame, and are the same
 * whether the run is watched, joined late or long over. The page of a shared one is read in pages, for
 * whoever has its link opens no socket; it shows no files. */

import { LogPanel } from "./logpanel.js";
import { connection } from "./socket.js";
import { StepTree } from "./steps.js";
import { ExecutionStream, State, pagesOnly } from "./stream.js";
import { language, say } from "./strings.js";
import { formatBytes, formatDuration, formatRunning } from "./times.js";
import { Waiting } from "./waiting.js";

const FINAL = new Set(["COMPLETED", "FAILED", "CANCELLED"]);
const RANK = { PENDING: 0, RUNNING: 1, COMPLETED: 2, FAILED: 2, CANCELLED: 2 };
const PREVIEWS = new Set(["image/png", "image/jpeg", "image/webp"]);
const LARGEST_PREVIEW = 8 * 2 ** 20;
const LONGEST_RESULT = 200_000;

const part = (id) => document.getElementById(id);
const live = part("live");
const urls = JSON.parse(part("urls").textContent);
const icons = document.querySelector("#status use").getAttribute("href").split("#")[0];

const log = new LogPanel({ onDropped: () => note("dropped", say("dropped")) });
const steps = new StepTree(part("steps"), { icons, onJump: (line) => log.jump(line) });

/** Who reads by a link is told nothing of the queue. */
const waiting = urls.queue
  ? new Waiting({
      urls,
      box: part("wait"),
      button: part("run-next"),
      onFailure: () => note("run-next", say("wait.next-failed")),
    })
  : { waits: false };

const icon = document.querySelector("link[rel='icon']").href;
const percents = new Intl.NumberFormat(language, { style: "percent" });
const percent = (value) => percents.format(value / 100);

let shown = live.dataset.status;
let attempt = 1;
let truncated = false;
let follows = true; // Until nothing more is told to this page: how far the run is, it then does not know.
let started = Date.parse(part("duration").dataset.start) || null;
let finished = Date.parse(part("duration").dataset.end) || null;

// --- status ---

function showStatus() {
  const badge = document.querySelector("#status .status");
  badge.dataset.status = shown;
  badge.querySelector("use").setAttribute("href", `${icons}#${shown.toLowerCase()}`);
  badge.lastElementChild.textContent = say(`status.${shown}`) || shown;
  const cancel = part("cancel");
  if (cancel) cancel.hidden = FINAL.has(shown);
  if (FINAL.has(shown)) part("cancel-dialog")?.close();
  waiting.waits = shown === "PENDING";
  showTitle();
  showEmpty();
  showDuration();
}

/** Why there are no lines, while there are none. */
function showEmpty() {
  if (truncated) log.emptyKey = "log.gone";
  else if (FINAL.has(shown)) log.emptyKey = "log.empty";
  else log.emptyKey = shown === "PENDING" ? "log.waiting" : "log.quiet";
}

/** The tab tells how far it is. */
function showTitle() {
  const bar = document.querySelector("#progress progress");
  const known = shown === "RUNNING" && !part("progress").hidden && bar.hasAttribute("value");
  const status = known ? percent(bar.value) : say(`status.${shown}`);
  document.title = say("title", { status, name: live.dataset.name });
  document.querySelector("link[rel='icon']").href = say(`icon.${shown}`) || icon;
}

/** The words that the server has put there hold until an event brings others. */
function showReason({ status, reason, message, exit_code: code }) {
  const box = part("reason");
  box.dataset.status = status;
  box.dataset.reason = reason ?? "";
  const extra = [];
  if (attempt > 1) extra.push(say("attempt", { attempt }));
  if (code !== null && code !== undefined && status === "FAILED") extra.push(say("exit-code", { code }));
  box.querySelector(".reason-text").textContent = reason ? say(`reason.${status}.${reason}`) : "";
  box.querySelector(".reason-message").textContent = message ?? "";
  box.querySelector(".reason-extra").textContent = extra.join(" · ");
  box.hidden = !box.textContent.trim() || status === "COMPLETED";
}

function onStatus({ at, data }) {
  const again = (data.attempt ?? 1) > attempt;
  attempt = data.attempt ?? attempt;
  if (data.status === "RUNNING" && (again || started === null)) started = Date.parse(at);
  if (FINAL.has(data.status)) {
    document.querySelector("[data-note='cancel_requested']")?.remove();
    finished = Date.parse(at);
    steps.stop(finished);
    if (urls.artifacts) part("artifacts-empty").textContent = say("artifacts.none");
    part("progress").hidden = true;
  }
  // Replayed history must not make the badge go back.
  if (!again && RANK[data.status] < RANK[shown]) return;
  if (data.status !== shown) part("announcer").textContent = say("announce", { status: say(`status.${data.status}`) });
  shown = data.status;
  showStatus();
  showReason(data);
  if (data.retried_as && urls.page) showSuccessor(data.retried_as);
  if (shown === "RUNNING" && part("progress").hidden) onProgress({ data: {} });
}

function showSuccessor(uid) {
  const link = document.createElement("a");
  link.href = urls.page.replace(live.dataset.uid, encodeURIComponent(uid));
  link.textContent = say("retried");
  note("retried", "", "info").append(link);
}

function showDuration() {
  if (started === null) return;
  part("duration").textContent = finished ? formatDuration(finished - started) : formatRunning(Date.now() - started);
}

// --- the other kinds ---

function onProgress({ data }) {
  if (FINAL.has(shown) || !follows) return;
  const box = part("progress");
  const bar = box.querySelector("progress");
  const known = Number.isFinite(data.percent);
  if (known) bar.value = data.percent;
  box.hidden = false;
  if (known) box.querySelector(".progress-percent").textContent = percent(data.percent);
  if (data.message !== undefined) box.querySelector(".progress-message").textContent = data.message;
  showTitle();
}

function onArtifact({ data }) {
  if (!urls.artifacts) return;
  const list = part("artifacts");
  const url = `${urls.artifacts}${encodeURIComponent(data.id)}/download/`;
  const item = document.createElement("li");
  item.className = "artifact";
  const link = document.createElement("a");
  link.href = url;
  link.download = data.name.split("/").at(-1);
  link.textContent = data.name;
  const size = document.createElement("span");
  size.className = "small muted";
  size.textContent = formatBytes(data.size);
  item.append(link, size);
  if (PREVIEWS.has(data.content_type) && data.size <= LARGEST_PREVIEW) {
    const image = document.createElement("img");
    image.src = url;
    image.alt = say("preview-of", { name: data.name });
    image.loading = "lazy";
    image.decoding = "async";
    image.addEventListener("error", () => image.remove());
    item.append(image);
  }
  list.append(item);
  part("artifacts-empty").hidden = true;
}

function onResult({ data }) {
  const text = JSON.stringify(data.value, null, 2) ?? "null";
  part("result-text").textContent = text.slice(0, LONGEST_RESULT);
  part("result-note").textContent = say("result.cut");
  part("result-note").hidden = text.length <= LONGEST_RESULT;
  part("result").hidden = false;
}

function note(code, message, level = "warning") {
  const known = document.querySelector(`[data-note="${CSS.escape(code)}"]`);
  const box = known ?? document.createElement("p");
  box.className = "notice";
  box.dataset.note = code;
  box.dataset.level = level;
  box.textContent = message;
  if (!known) part("notes").append(box);
  return box;
}

function onNotice({ data }) {
  if (data.code === "cancel_requested") {
    showStopping();
    if (FINAL.has(shown)) return; // The end says it too.
  }
  note(data.code ?? "notice", data.message ?? data.code ?? "");
}

function showStopping() {
  const button = part("cancel");
  if (!button) return;
  button.disabled = true;
  button.textContent = say("cancelling");
}

const HANDLERS = {
  status: onStatus,
  log: ({ data }) => log.append(data),
  step: (event) => steps.apply(event, log.nextLine, attempt),
  progress: onProgress,
  artifact: onArtifact,
  result: onResult,
  notice: onNotice,
};

// --- from the stream to the page, once a frame ---

let queue = [];
let scheduled = false;

function schedule() {
  if (scheduled) return;
  scheduled = true;
  // A hidden tab has no frames but must not pile events up.
  if (document.hidden) setTimeout(apply, 250);
  else requestAnimationFrame(apply);
}

function apply() {
  scheduled = false;
  const events = queue;
  queue = [];
  for (const event of events) HANDLERS[event.kind]?.(event);
  steps.draw();
  if (steps.count) {
    part("steps-empty").hidden = true;
    part("steps-count").textContent = new Intl.NumberFormat(language).format(steps.count);
  }
}

function forget() {
  queue = [];
  attempt = 1;
  started = null;
  finished = null;
  log.clear();
  steps.reset();
  part("artifacts")?.replaceChildren();
  part("result").hidden = true;
}

function showTransport(state) {
  const badge = part("transport");
  follows = state !== State.REFUSED && state !== State.SIGNED_OUT;
  if (!follows) part("progress").hidden = true;
  badge.dataset.state = state;
  badge.firstElementChild.textContent = say(`transport.${state}`);
  if (state === State.REFUSED) note("transport", say("refused"), "error");
  if (state === State.SIGNED_OUT) {
    const link = document.createElement("a");
    link.href = live.dataset.login;
    link.textContent = say("signed-out");
    note("transport", "", "error").append(link);
  }
}

const subscribe = (after, on) =>
  connection().subscribe({ topic: "execution", execution: live.dataset.uid, after }, on);

const stream = new ExecutionStream(
  {
    ...(urls.ws ? { connect: subscribe } : { connect: pagesOnly, pollAfter: 1 }),
    eventsUrl: new URL(urls.events, location.href).href,
  },
  {
    onEvents: (events) => {
      queue.push(...events);
      schedule();
    },
    onState: showTransport,
    onReset: forget,
    onTruncated: () => {
      truncated = true;
      showEmpty();
      note("truncated", say("truncated"));
    },
  },
);

// --- cancel, help, keys ---

function startCancel() {
  const button = part("cancel");
  if (!button) return;
  const dialog = part("cancel-dialog");
  const confirm = part("cancel-confirm");
  const error = part("cancel-error");
  button.addEventListener("click", () => {
    error.hidden = true;
    dialog.showModal();
  });
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    try {
      const token = document.querySelector("meta[name='csrf-token']").content;
      const response = await fetch(urls.cancel, { method: "POST", headers: { "X-CSRFToken": token, Accept: "application/json" } });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      dialog.close();
      showStopping();
    } catch {
      error.textContent = say("cancel-failed");
      error.hidden = false;
    } finally {
      confirm.disabled = false;
    }
  });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  if (event.key === "?") part("help-dialog").showModal();
  else if (!log.key(event.key)) return;
  event.preventDefault();
}

startCancel();
part("help").addEventListener("click", () => part("help-dialog").showModal());
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) stream.wake();
});
addEventListener("online", () => stream.wake());
addEventListener("pageshow", (event) => {
  if (event.persisted) stream.wake();
});
setInterval(() => {
  if (document.hidden || FINAL.has(shown) || !follows) return;
  showDuration();
  steps.tick();
}, 1000);

part("reason").hidden = !part("reason").textContent.trim() || shown === "COMPLETED";
showStatus();
stream.start();
