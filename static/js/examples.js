/* Examples: promises that what stands beside a form with [data-examples] shows the run that the form would
 * start, a moment after the last change. The server alone draws it, as it knows the types and the
 * quoting; what it cannot read yet leaves the last examples in place. */

const REST = 300; // Milliseconds without a change.

export function startExamples() {
  const form = document.querySelector("form[data-examples]");
  if (!form) return;
  const place = document.querySelector(form.dataset.examples);
  let timer = 0;
  let asked = new AbortController();

  async function draw() {
    asked.abort();
    asked = new AbortController();
    const body = new FormData(form);
    body.set("examples", "1");
    try {
      const response = await fetch(form.action, { method: "POST", body, signal: asked.signal });
      if (response.status !== 200 || response.redirected) return;
      const drawn = new DOMParser().parseFromString(await response.text(), "text/html");
      place.replaceChildren(...document.importNode(drawn.body, true).childNodes);
    } catch {
      // Superseded, or the server is away: the next change asks again.
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(draw, REST);
  });
}
