/* Passkeys: promises that a form with [data-passkey] ("create" or "get") asks the browser for a passkey when it is
 * submitted, puts the answer into its field `credential` and goes on; what goes wrong is said in its
 * [data-passkey-error]. The options are in the script element that [data-options] names, or at that address. */

import { say } from "./strings.js";

function bytes(text) {
  const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(raw, (character) => character.charCodeAt(0));
}

function text(buffer) {
  const raw = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const decoded = (list) => list?.map((each) => ({ ...each, id: bytes(each.id) }));

/** The options of a new passkey; one that signs in alone is kept on the device and asks who is there. */
export function creation(options, alone) {
  const key = structuredClone(options.publicKey);
  key.authenticatorSelection = {
    ...key.authenticatorSelection,
    residentKey: alone ? "required" : "discouraged",
    requireResidentKey: alone,
    ...(alone && { userVerification: "required" }),
  };
  key.challenge = bytes(key.challenge);
  key.user.id = bytes(key.user.id);
  key.excludeCredentials = decoded(key.excludeCredentials);
  return { publicKey: key };
}

export function request(options) {
  const key = structuredClone(options.publicKey);
  key.challenge = bytes(key.challenge);
  key.allowCredentials = decoded(key.allowCredentials);
  return { publicKey: key };
}

/** What the browser has answered, as the server reads it. */
export function answer(credential) {
  const { response } = credential;
  const sent = { clientDataJSON: text(response.clientDataJSON) };
  if (response.attestationObject) {
    sent.attestationObject = text(response.attestationObject);
    sent.transports = response.getTransports?.() ?? [];
  } else {
    sent.authenticatorData = text(response.authenticatorData);
    sent.signature = text(response.signature);
    sent.userHandle = response.userHandle ? text(response.userHandle) : null;
  }
  return {
    type: credential.type,
    id: credential.id,
    rawId: text(credential.rawId),
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: sent,
  };
}

async function optionsOf(form) {
  const source = form.dataset.options;
  const here = source.startsWith("#") && document.querySelector(source);
  if (here) return JSON.parse(here.textContent);
  const response = await fetch(source, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${source}: ${response.status}`);
  return (await response.json()).request_options;
}

async function asked(form) {
  const options = await optionsOf(form);
  if (form.dataset.passkey === "create") {
    const alone = form.elements.namedItem("passwordless").checked;
    return navigator.credentials.create(creation(options.creation_options, alone));
  }
  return navigator.credentials.get(request(options.request_options ?? options));
}

async function onSubmit(event) {
  const form = event.target.closest("form[data-passkey]");
  if (!form) return;
  event.preventDefault();
  if (form.dataset.asking) return;
  const error = form.querySelector("[data-passkey-error]");
  error.hidden = true;
  form.dataset.asking = "true";
  try {
    if (!window.PublicKeyCredential) throw new Error("no passkeys");
    form.elements.namedItem("credential").value = JSON.stringify(answer(await asked(form)));
    form.submit();
  } catch {
    error.textContent = say(window.PublicKeyCredential ? "passkey-failed" : "passkey-unsupported");
    error.hidden = false;
  } finally {
    delete form.dataset.asking;
  }
}

document.addEventListener("submit", onSubmit);
