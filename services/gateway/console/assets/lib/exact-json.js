// JSON numbers keep their value: what a double cannot hold is kept as the text that it is.

/** A number as it was written, where Number would change it. */
export class ExactNumber {
  constructor(text) { this.text = text; }
  toString() { return this.text; }
}

const LONG_NUMBER = /\d{16}|\d[eE][+-]?\d{3}/;

/** JSON.parse that loses no digits. Throws SyntaxError. */
export function parse(text) {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && context?.source !== undefined && differs(value, context.source)
      ? new ExactNumber(context.source) : value);
}

function differs(value, source) {
  if (!LONG_NUMBER.test(source)) return false;
  return !Number.isFinite(value) || (/^-?\d+$/.test(source) && BigInt(source) !== BigInt(value));
}

/** JSON text with exact numbers as they were; with `indent` on several lines, what is short on one. */
export function stringify(value, indent = 0) {
  return indent ? laidOut(value, " ".repeat(indent), "") : tight(value, ",", ":");
}

const WIDTH = 92;

function tight(value, comma, colon) {
  if (value instanceof ExactNumber) return value.text;
  if (value === undefined) return "null";
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => tight(item, comma, colon)).join(comma)}]`;
  return `{${fields(value).map((key) => `${JSON.stringify(key)}${colon}${tight(value[key], comma, colon)}`).join(comma)}}`;
}

function laidOut(value, step, margin, before = 0) {
  const short = tight(value, ", ", ": ");
  if (value === null || typeof value !== "object" || margin.length + before + short.length <= WIDTH) return short;
  const inner = margin + step;
  const items = Array.isArray(value) ? value.map((item) => laidOut(item, step, inner))
    : fields(value).map((key) => `${JSON.stringify(key)}: ${laidOut(value[key], step, inner, key.length + 4)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${inner}${items.join(`,\n${inner}`)}\n${margin}${close}`;
}

const fields = (value) => Object.keys(value).filter((key) => value[key] !== undefined);
