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

/** JSON.stringify that writes exact numbers as they were. */
export function stringify(value, indent = 0) {
  return write(value, indent ? " ".repeat(indent) : "", "");
}

function write(value, step, margin) {
  if (value instanceof ExactNumber) return value.text;
  if (value === undefined) return "null";
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = margin + step;
  const items = Array.isArray(value)
    ? value.map((item) => write(item, step, inner))
    : Object.keys(value).filter((key) => value[key] !== undefined)
      .map((key) => `${JSON.stringify(key)}:${step ? " " : ""}${write(value[key], step, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!items.length) return open + close;
  return step ? `${open}\n${inner}${items.join(`,\n${inner}`)}\n${margin}${close}` : open + items.join(",") + close;
}
