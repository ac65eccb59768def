/* ANSI: what a terminal would show of one line, as data. Pure: no DOM, no HTML, so nothing that a robot
 * prints can become markup; who draws the spans uses textContent.
 *
 * `parse(text, style)` promises spans of visible text with their style, and the style in force at the end
 * (colours run on over lines). SGR is understood with 16, 256 and 24-bit colours; text after the last
 * carriage return wins; every other escape sequence and control character is dropped. */

/** The style of a line without any escape. Styles are frozen and compared by identity. */
export const PLAIN = Object.freeze({
  fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, inverse: false, strike: false,
});

// CSI; OSC and the other string sequences up to BEL or ST; two-character escapes; lone controls.
const SEQUENCE =
  /\x1b\[([0-?]*)([ -/]*)([@-~]?)|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;
const SPECIAL = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;

const LEVELS = [0, 95, 135, 175, 215, 255];
const hex = (...parts) => `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;

/** A colour of the 256: 0 to 15 stay numbers (the theme draws them), the others are "#rrggbb". */
function indexed(index) {
  if (index < 16) return index;
  if (index < 232) {
    const place = index - 16;
    return hex(LEVELS[Math.floor(place / 36)], LEVELS[Math.floor(place / 6) % 6], LEVELS[place % 6]);
  }
  const gray = 8 + (index - 232) * 10;
  return hex(gray, gray, gray);
}

const isByte = (value) => Number.isInteger(value) && value >= 0 && value <= 255;

/** The colour that follows a 38 or 48 in `codes`; [colour or undefined, how many codes it took]. */
function extended(codes, at) {
  if (codes[at] === 5) return [isByte(codes[at + 1]) ? indexed(codes[at + 1]) : undefined, 2];
  if (codes[at] === 2) {
    const rgb = codes.slice(at + 1, at + 4);
    return [rgb.length === 3 && rgb.every(isByte) ? hex(...rgb) : undefined, 4];
  }
  return [undefined, 1];
}

const SIMPLE = {
  1: { bold: true }, 2: { dim: true }, 3: { italic: true }, 4: { underline: true }, 7: { inverse: true },
  9: { strike: true }, 21: { underline: true }, 22: { bold: false, dim: false }, 23: { italic: false },
  24: { underline: false }, 27: { inverse: false }, 29: { strike: false }, 39: { fg: null }, 49: { bg: null },
};

function colour(code) {
  if (code >= 30 && code <= 37) return { fg: code - 30 };
  if (code >= 40 && code <= 47) return { bg: code - 40 };
  if (code >= 90 && code <= 97) return { fg: code - 82 };
  if (code >= 100 && code <= 107) return { bg: code - 92 };
  return null;
}

/** A colon form: 38:5:n, 38:2:r:g:b, 38:2::r:g:b or 4:3; one parameter that carries its own arguments. */
function grouped(style, parts) {
  const codes = parts.map((part) => (part === "" ? 0 : Number(part)));
  if (codes[0] === 4) return { ...style, underline: codes[1] !== 0 };
  if (codes[0] !== 38 && codes[0] !== 48) return style;
  const withSpace = codes[1] === 2 && codes.length >= 6;
  const [value] = extended(withSpace ? [2, ...codes.slice(3)] : codes.slice(1), 0);
  return value === undefined ? style : { ...style, [codes[0] === 38 ? "fg" : "bg"]: value };
}

function restyle(style, parameters) {
  const texts = parameters.split(";");
  const codes = texts.map((text) => (text === "" ? 0 : Number(text)));
  let now = style;
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (texts[at].includes(":")) {
      now = grouped(now, texts[at].split(":"));
    } else if (code === 0) {
      now = PLAIN;
    } else if (code === 38 || code === 48) {
      const [value, taken] = extended(codes, at + 1);
      at += taken;
      if (value !== undefined) now = { ...now, [code === 38 ? "fg" : "bg"]: value };
    } else {
      now = { ...now, ...(SIMPLE[code] ?? colour(code)) };
    }
  }
  return isPlain(now) ? PLAIN : Object.freeze(now);
}

const isPlain = (style) => Object.keys(PLAIN).every((key) => style[key] === PLAIN[key]);

/** @returns {{spans: {text: string, style: object}[], style: object}} */
export function parse(text, style = PLAIN) {
  if (!SPECIAL.test(text)) return { spans: text ? [{ text, style }] : [], style };
  let spans = [];
  let now = style;
  let from = 0;
  let returned = false; // A carriage return erases only once something is written over the line.
  const write = (piece) => {
    if (!piece) return;
    if (returned) spans = [];
    returned = false;
    const last = spans.at(-1);
    if (last && last.style === now) last.text += piece;
    else spans.push({ text: piece, style: now });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    write(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[0] === "\r") returned = true;
    else if (match[3] === "m" && match[2] === "" && !/[<-?]/.test(match[1])) now = restyle(now, match[1]);
  }
  write(text.slice(from));
  return { spans, style: now };
}

/** The visible text alone. */
export function plain(text) {
  if (!SPECIAL.test(text)) return text;
  return parse(text).spans.map((span) => span.text).join("");
}

/** Split spans at `ranges` ([from, to) of the visible text, ascending, apart); those inside get `marked`. */
export function mark(spans, ranges) {
  if (!ranges.length) return spans;
  const out = [];
  let offset = 0;
  let index = 0;
  for (const span of spans) {
    let at = 0;
    while (at < span.text.length) {
      while (index < ranges.length && ranges[index][1] <= offset + at) index += 1;
      const [from, to] = ranges[index] ?? [Infinity, Infinity];
      const marked = from <= offset + at;
      const end = Math.min(span.text.length, (marked ? to : from) - offset);
      out.push({ text: span.text.slice(at, end), style: span.style, ...(marked && { marked }) });
      at = end;
    }
    offset += span.text.length;
  }
  return out;
}
