/* Theme: promises that the chosen theme (system, light or dark) holds before the first paint and in every
 * open tab. A classic script in <head>, because a module would run after the paint. Without it the
 * page follows the system. */
(() => {
  const KEY = "theme";
  const CHOICES = ["auto", "light", "dark"];

  function stored() {
    try {
      const choice = localStorage.getItem(KEY);
      return CHOICES.includes(choice) ? choice : "auto";
    } catch {
      return "auto"; // Storage may be forbidden; the theme then lasts for the page.
    }
  }

  function apply(choice) {
    if (choice === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
  }

  let current = stored();
  apply(current);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    if (!button) return;
    const words = document.getElementById("strings").content;
    const name = () => {
      const text = words.querySelector(`data[value="theme-${current}"]`).textContent;
      button.setAttribute("aria-label", text);
      button.title = text;
    };
    button.addEventListener("click", () => {
      current = CHOICES[(CHOICES.indexOf(current) + 1) % CHOICES.length];
      try {
        localStorage.setItem(KEY, current);
      } catch {
        // As above.
      }
      apply(current);
      name();
    });
    addEventListener("storage", (event) => {
      if (event.key !== KEY) return;
      current = stored();
      apply(current);
      name();
    });
    name();
    button.hidden = false;
  });
})();
