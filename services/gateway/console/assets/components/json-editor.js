// A text area for JSON, with the colours and marks of an editor painted below its text. It is the browser's
// own: undo, search, phones and screen readers work as everywhere.
import { html, names, useEffect, useImperativeHandle, useLayoutEffect, useRef } from "../lib/html.js";

const PAINTS = typeof Highlight !== "undefined" && CSS.highlights;
const TOKENS = /("(?:[^"\\\n]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;
const EXPRESSION = /\$\{.*?\}/g;
const AROUND = 120; // lines beside the visible ones that are coloured

/** marks: [{start, end, message}], offsets into the text. handle.current.show(start, end) selects a place. */
export function JsonEditor({ text, change, marks, label, handle, onSave }) {
  const box = useRef(null);
  const below = useRef(null);
  const area = useRef(null);
  const lines = text.split("\n");
  const marked = new Map(marks.map((mark) => [lineNumber(text, mark.start), mark.message]));

  const paint = () => { if (PAINTS) colour(below.current, box.current, text, marks); };
  useLayoutEffect(paint, [text, marks]);
  useEffect(() => () => { if (PAINTS) for (const name of NAMES) CSS.highlights.delete(name); }, []);
  useImperativeHandle(handle, () => ({
    show(start, end) {
      area.current.focus({ preventScroll: true });
      area.current.setSelectionRange(start, end);
      const height = box.current.scrollHeight / Math.max(1, lines.length);
      box.current.scrollTo({ top: Math.max(0, (lineNumber(area.current.value, start) - 6) * height), behavior: "smooth" });
    },
  }), [lines.length]);

  const keys = (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "s") { event.preventDefault(); onSave?.(); return; }
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
    const { value, selectionStart } = area.current;
    const line = value.slice(value.lastIndexOf("\n", selectionStart - 1) + 1, selectionStart);
    const indent = /^\s*/.exec(line)[0] + (/[[{]\s*$/.test(line) ? "  " : "");
    if (!indent) return;
    event.preventDefault();
    document.execCommand("insertText", false, `\n${indent}`); // keeps the browser's undo, which nothing newer does
  };

  return html`<div class="editor" ref=${box} onScroll=${paint}>
    <div class="editor-gutter" aria-hidden="true">${lines.map((_, index) => html`<span key=${index} class=${names({ marked: marked.has(index + 1) })} title=${marked.get(index + 1)}>${index + 1}</span>`)}</div>
    <div class="editor-text">
      <pre ref=${below} aria-hidden="true">${`${text}\n`}</pre>
      <textarea ref=${area} class=${PAINTS ? "painted" : ""} aria-label=${label} aria-invalid=${marks.length ? "true" : undefined} spellcheck="false" autocapitalize="off" autocomplete="off" wrap="off"
        value=${text} onInput=${(event) => change(event.target.value)} onKeyDown=${keys}></textarea>
    </div></div>`;
}

function lineNumber(text, offset) {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}

const NAMES = ["json-name", "json-string", "json-number", "json-word", "json-expression", "json-problem"];

function colour(pre, box, text, marks) {
  const node = pre.firstChild;
  if (!node) return;
  const ranges = Object.fromEntries(NAMES.map((name) => [name, []]));
  const range = (name, start, end) => {
    const made = new Range();
    made.setStart(node, start);
    made.setEnd(node, Math.min(end, node.length));
    ranges[name].push(made);
  };
  const [from, to] = visible(box, text);
  const part = text.slice(from, to);
  for (const found of part.matchAll(TOKENS)) {
    const start = from + found.index;
    if (found[1]) {
      range(found[2] ? "json-name" : "json-string", start, start + found[1].length);
      if (!found[2]) for (const inner of found[1].matchAll(EXPRESSION)) range("json-expression", start + inner.index, start + inner.index + inner[0].length);
    } else range(found[3] ? "json-number" : "json-word", start, start + found[0].length);
  }
  for (const mark of marks) range("json-problem", Math.min(mark.start, text.length), Math.min(mark.end, text.length));
  for (const name of NAMES) {
    const highlight = new Highlight(...ranges[name]);
    highlight.priority = NAMES.indexOf(name);
    CSS.highlights.set(name, highlight);
  }
}

/** Offsets of the lines that can be seen, with some around. */
function visible(box, text) {
  const count = text.split("\n").length;
  const height = Math.max(1, box.scrollHeight / count);
  const first = Math.max(0, Math.floor(box.scrollTop / height) - AROUND);
  const last = first + Math.ceil(box.clientHeight / height) + 2 * AROUND;
  let line = 0;
  let from = 0;
  let to = text.length;
  for (let at = 0; at >= 0; line += 1) {
    if (line === first) from = at;
    if (line === last) { to = at; break; }
    const next = text.indexOf("\n", at);
    at = next < 0 ? -1 : next + 1;
  }
  return [from, to];
}
