// A JSON value as a tree. Parts are made when they are opened, long lists in portions.
import { html, useState } from "../lib/html.js";
import { ExactNumber, stringify } from "../lib/exact-json.js";
import { get, executionPath } from "../lib/api.js";
import { Button, Trouble } from "./basics.js";
import { say } from "./toasts.js";

const PORTION = 100;
const LONG_TEXT = 400;

export function JsonTree({ value, depth = 2, label }) {
  return html`<div class="json" role="tree" aria-label=${label ?? "JSON value"}><${Part} value=${value} open=${depth} /></div>`;
}

function Part({ name, value, open, comma }) {
  const key = name === undefined ? null : html`<span class="json-key">${name}</span><span class="json-mark">: </span>`;
  if (value === null || typeof value !== "object" || value instanceof ExactNumber) {
    return html`<div class="json-row" role="treeitem">${key}<${Leaf} value=${value} /></div>`;
  }
  return html`<${Branch} name=${name} value=${value} open=${open} />`;
}

function Branch({ name, value, open }) {
  const [shown, setShown] = useState(open > 0);
  const [most, setMost] = useState(PORTION);
  const list = Array.isArray(value);
  const keys = list ? null : Object.keys(value);
  const size = list ? value.length : keys.length;
  const [left, right] = list ? "[]" : "{}";
  if (!size) return html`<div class="json-row" role="treeitem">${name !== undefined && html`<span class="json-key">${name}</span><span class="json-mark">: </span>`}<span class="json-mark">${left}${right}</span></div>`;
  const entries = shown ? (list ? value.slice(0, most).map((item, index) => [index, item]) : keys.slice(0, most).map((key) => [key, value[key]])) : [];
  return html`<div class="json-branch" role="treeitem" aria-expanded=${String(shown)}>
    <button type="button" class="json-toggle" aria-label="${shown ? "Close" : "Open"} ${name ?? "value"}" onClick=${() => setShown(!shown)}>
      <span class=${shown ? "caret open" : "caret"}></span>${name !== undefined && html`<span class="json-key">${name}</span><span class="json-mark">: </span>`}<span class="json-mark">${left}${shown ? "" : ` ${preview(value, list, keys)} ${right}`}</span>
      <span class="json-size">${size} ${list ? (size === 1 ? "item" : "items") : size === 1 ? "field" : "fields"}</span>
    </button>
    ${shown && html`<div class="json-inner" role="group">
      ${entries.map(([key, item]) => html`<${Part} key=${key} name=${key} value=${item} open=${open - 1} />`)}
      ${size > most && html`<button type="button" class="text-button" onClick=${() => setMost(most + 10 * PORTION)}>${size - most} more</button>`}
    </div><span class="json-mark">${right}</span>`}
  </div>`;
}

function preview(value, list, keys) {
  if (list) return "…";
  const text = keys.slice(0, 4).join(", ");
  return text.length > 40 ? `${text.slice(0, 40)}…` : text + (keys.length > 4 ? ", …" : "");
}

function Leaf({ value }) {
  const [whole, setWhole] = useState(false);
  if (typeof value === "string") {
    const cut = value.length > LONG_TEXT && !whole;
    return html`<span class="json-string">"${cut ? value.slice(0, LONG_TEXT) : value}${cut ? "…" : ""}"</span>
      ${cut && html` <button type="button" class="text-button" onClick=${() => setWhole(true)}>${value.length - LONG_TEXT} more characters</button>`}`;
  }
  if (value instanceof ExactNumber || typeof value === "number") return html`<span class="json-number">${String(value)}</span>`;
  return html`<span class="json-word">${String(value)}</span>`;
}

export const bytes = (count) => (count < 1024 ? `${count} B` : count < 1048576 ? `${(count / 1024).toFixed(1)} KB` : `${(count / 1048576).toFixed(1)} MB`);

/** A value, or a large one by its hash, which is fetched when it is asked for. */
export function Value({ title, value, reference, executionId, open = true, depth = 2 }) {
  const [fetched, setFetched] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const known = reference ? fetched?.hash === reference.hash ? fetched.value : undefined : value;
  const load = async () => {
    setBusy(true);
    try {
      setFetched({ hash: reference.hash, value: await get(`${executionPath(executionId)}/payloads/${reference.hash}`) });
      setError(null);
    } catch (problem) { setError(problem); }
    setBusy(false);
  };
  const copy = () => navigator.clipboard?.writeText(stringify(known, 2)).then(() => say(`${title} copied`), () => say("The browser does not allow copying", { kind: "failed" }));
  return html`<details class="section" open=${open}>
    <summary><h3>${title}</h3>${reference && html`<span class="muted small">${bytes(reference.bytes)}</span>`}</summary>
    <div class="section-body">
      ${known !== undefined && html`<div class="json-tools"><${Button} icon="copy" label="Copy ${title.toLowerCase()}" onClick=${copy} /></div>`}
      ${known === undefined && reference && html`<${Button} busy=${busy} onClick=${load}>Load ${bytes(reference.bytes)}<//>`}
      <${Trouble} error=${error} />
      ${known !== undefined && html`<${JsonTree} value=${known} depth=${depth} label=${title} />`}
    </div></details>`;
}
