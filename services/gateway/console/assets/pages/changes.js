// What two versions of a definition differ in.
import { html, useEffect, useState } from "../lib/html.js";
import { get, query, send } from "../lib/api.js";
import { parse, stringify } from "../lib/exact-json.js";
import { Skeleton, Trouble } from "../components/basics.js";

const SIGNS = { added: "+", removed: "−", changed: "~" };
const PAUSE_MS = 400;

/** text: a definition that is not stored yet, compared with the latest; else two stored versions are. */
export function Changes({ id, version, text }) {
  const [from, setFrom] = useState(text ? version : Math.max(1, version - 1));
  const [diff, setDiff] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    const abort = new AbortController();
    const path = `/api/workflows/${encodeURIComponent(id)}/diff`;
    const timer = setTimeout(() => {
      (text ? send("POST", `${path}${query({ from })}`, { text, signal: abort.signal }).then((answer) => answer.text()).then(parse)
        : get(`${path}${query({ from, to: version })}`, { signal: abort.signal }))
        .then((found) => { setDiff(found); setError(null); }, (problem) => { if (problem.name !== "AbortError") setError(problem); });
    }, text ? PAUSE_MS : 0);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [id, version, from, text]);
  return html`<div class="section-body desk-mode changes">
    <p><label>Since <select value=${String(from)} onChange=${(event) => setFrom(Number(event.target.value))}>
      ${Array.from({ length: version }, (_, index) => version - index).map((one) => html`<option key=${one} value=${String(one)}>v${one}</option>`)}</select></label>
      <span class="muted"> to ${text ? "what is written here" : `v${version}`}</span></p>
    <${Trouble} error=${error} />
    ${!diff && !error ? html`<${Skeleton} rows=${4} />` : diff && html`<${Diff} diff=${diff} />`}</div>`;
}

function Diff({ diff }) {
  if (diff.same) return html`<p class="muted">They mean the same.</p>`;
  return html`<ul class="diff">
    ${diff.nodes.map((node) => html`<${Part} key=${`n${node.nodeId}`} kind=${node.kind} name=${node.nodeId} more=${node.nodeType} changes=${node.changes} />`)}
    ${diff.edges.map((edge) => html`<${Part} key=${`e${edge.path}${edge.kind}`} kind=${edge.kind} name="${edge.source} → ${edge.target}" more=${edge.sourceHandle ? `from ${edge.sourceHandle}` : "edge"} changes=${edge.changes} />`)}
    ${diff.settings.length > 0 && html`<${Part} kind="changed" name="settings" changes=${diff.settings} />`}</ul>`;
}

function Part({ kind, name, more, changes = [] }) {
  return html`<li><p><span class="sign" aria-hidden="true">${SIGNS[kind]}</span> <b>${name}</b> <span class="muted">${more}</span> <span class="tag">${kind}</span></p>
    ${changes.length > 0 && html`<dl>${changes.map((change) => html`<dt key=${change.path}><code>${change.path}</code></dt>
      <dd>${"before" in change && html`<del>${stringify(change.before, 2)}</del>`}${"after" in change && html`<ins>${stringify(change.after, 2)}</ins>`}</dd>`)}</dl>`}</li>`;
}
