/* Forms: promises that a form with [data-once] is sent once however often it is submitted, that text in
 * [data-json] is checked before it is sent, that [data-copy] copies what it names and says so, and
 * that selects with [data-submit-on-change] need no button. The server checks everything again. */

import { say } from "./strings.js";

/** The problem of `text` as JSON, or "". Empty text is no problem. */
export function jsonProblem(text) {
  if (!text.trim()) return "";
  try {
    JSON.parse(text);
    return "";
  } catch {
    return say("invalid-json");
  }
}

/** Put `text` on the clipboard; false if the browser refuses. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text); // Without https there is no clipboard API.
  }
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

async function onCopy(button) {
  const source = document.querySelector(button.dataset.copy);
  const copied = await copyText(source.textContent.trim());
  const before = button.dataset.label ?? (button.dataset.label = button.textContent.trim());
  const words = say(copied ? "copied" : "copy-failed");
  const shown = button.lastChild?.nodeType === Node.TEXT_NODE ? button.lastChild : null;
  button.classList.toggle("is-copied", copied);
  button.title = words;
  if (before && shown) shown.textContent = words;
  clearTimeout(button.restore);
  button.restore = setTimeout(() => {
    button.classList.remove("is-copied");
    button.title = "";
    if (before && shown) shown.textContent = before;
  }, 1600);
}

function onSubmit(event) {
  const form = event.target;
  if (!form.matches("form[data-once]")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "true";
  for (const button of form.querySelectorAll("button:not([type='button'])")) {
    button.setAttribute("aria-disabled", "true");
    button.setAttribute("aria-busy", "true");
  }
}

/** A page that comes back from the history may be sent again. */
function onShow(event) {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-busy]")) {
      button.removeAttribute("aria-busy");
      button.removeAttribute("aria-disabled");
    }
  }
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (menu !== except) menu.open = false;
  }
}

export function startForms() {
  document.addEventListener("submit", onSubmit);
  addEventListener("pageshow", onShow);
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-json]")) {
      event.target.setCustomValidity(jsonProblem(event.target.value));
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) onCopy(button);
    closeMenus(event.target.closest("details[data-menu]"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details[data-menu][open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  for (const area of document.querySelectorAll("[data-json]")) {
    area.setCustomValidity(jsonProblem(area.value));
  }
  document.querySelector("[data-focus]")?.focus();
}
