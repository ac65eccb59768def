/* Confirm: promises that a form with [data-confirm] can be sent only once the text that it names stands in its
 * field `confirm`. Blanks around and between words do not count. The server checks it again. */

const tidy = (text) => text.trim().split(/\s+/).join(" ");

export function startConfirm() {
  for (const form of document.querySelectorAll("form[data-confirm]")) {
    const field = form.elements.namedItem("confirm");
    const button = form.querySelector("button.is-danger");
    const look = () => (button.disabled = tidy(field.value) !== tidy(form.dataset.confirm));
    field.addEventListener("input", look);
    addEventListener("pageshow", look); // A page that comes back keeps what was typed.
    look();
  }
}
