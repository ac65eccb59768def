/* Strings: the page's translated words. `say(key, values)` promises the words that the server put into
 * <template id="strings">, with {placeholders} filled in; an unknown key answers "". Where a {count} needs
 * them, there are words for each of the language's plural forms: `key.one`, `key.other`. */

const words = new Map();
for (const each of document.getElementById("strings")?.content.querySelectorAll("data") ?? []) {
  words.set(each.value, each.textContent);
}

/** The language of the page, for the formats of Intl. */
export const language = document.documentElement.lang || "en";

const number = new Intl.NumberFormat(language);
const plural = new Intl.PluralRules(language);

export function say(key, values = {}) {
  const form = typeof values.count === "number" ? plural.select(values.count) : "other";
  const text = words.get(`${key}.${form}`) ?? words.get(`${key}.other`) ?? words.get(key) ?? "";
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? number.format(value) : String(value);
  });
}
