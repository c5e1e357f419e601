// What nodes there are, what each takes and gives.
import { html, names, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { stringify } from "../lib/exact-json.js";
import { usePolled } from "../lib/live.js";
import { Link } from "../lib/router.js";
import { span } from "../lib/time.js";
import { Button, Empty, Icon, Skeleton, Trouble } from "../components/basics.js";
import { JsonTree } from "../components/json-tree.js";
import { say } from "../components/toasts.js";

export function NodeTypesPage({ id }) {
  const { value, error, refresh } = usePolled((signal) => get("/api/nodes", { signal }).then((answer) => answer.nodes), []);
  const [text, setText] = useState("");
  if (!value) return html`<div class="page"><h1>Node types</h1>${error ? html`<${Trouble} error=${error} retry=${refresh} />` : html`<${Skeleton} rows=${9} height=${30} />`}</div>`;
  const wanted = text.trim().toLowerCase();
  const shown = value.filter((one) => !wanted || `${one.type} ${one.title} ${one.description}`.toLowerCase().includes(wanted));
  const phone = matchMedia("(max-width: 720px)").matches;
  const chosen = value.find((one) => one.type === id) ?? (phone ? null : shown[0]);
  const groups = new Map();
  for (const one of shown) {
    const family = one.type.split(".")[0];
    groups.set(family, [...(groups.get(family) ?? []), one]);
  }
  return html`<div class=${names("split", { picked: id })}>
    <section class="split-list" aria-label="Node types"><header class="split-head"><h1>Node types</h1>
      <label class="input-icon"><${Icon} name="search" /><span class="hidden">Filter node types</span><input data-search type="search" placeholder="filter" onInput=${(event) => setText(event.target.value)} /></label></header>
      ${!shown.length && html`<${Empty} title="No type like that" />`}
      ${[...groups].map(([family, types]) => html`<h2 class="tasks-head muted" key=${family}>${family}</h2><ul class="tasks">${types.map((one) => html`<li key=${one.type}>
        <${Link} to=${["nodes", one.type]} class=${names("task", { current: one === chosen })} aria-current=${one === chosen ? "true" : undefined}>
          <span class="task-title">${one.type}</span><span class="muted small">${one.description.split("\n")[0]}</span><//></li>`)}</ul>`)}
    </section>
    <section class="split-detail" aria-label="The chosen type">${chosen && html`<${Detail} key=${chosen.type} type=${chosen} />`}</section></div>`;
}

function Detail({ type }) {
  const marks = [type.external && "acts on the outside", type.human && "waits for a person", type.container && "holds other nodes"].filter(Boolean);
  const [lead, ...rest] = type.description.split("\n\n");
  const copy = () => navigator.clipboard?.writeText(stringify(type.example, 2)).then(() => say("Example copied"), () => say("The browser does not allow copying", { kind: "failed" }));
  return html`<article class="node-type"><${Link} class="only-phone" to=${["nodes"]}>All node types<//>
    <header><h2>${type.type}</h2><p class="muted">${type.title}</p></header>
    <p>${marked(lead)}</p>${rest.map((text, index) => html`<p key=${index}>${marked(text)}</p>`)}
    <p>${marks.map((mark) => html`<span class="tag" key=${mark}>${mark}</span>`)}<span class="tag">typically ${span(type.typicalDurationMs)}</span></p>
    ${type.handles.length > 0 && html`<p>Ways out: ${type.handles.map((handle) => html`<code class="tag" key=${handle}>${handle}</code>`)}</p>`}
    <${Fields} schema=${type.configSchema} />
    ${type.example !== undefined && html`<h3>Example</h3><div class="example"><${Button} icon="copy" label="Copy the example" onClick=${copy} /><pre class="code">${stringify(type.example, 2)}</pre></div>`}
    <details class="section"><summary><h3>Config as JSON Schema</h3></summary><div class="section-body"><${JsonTree} value=${type.configSchema} depth=${2} label="Config schema" /></div></details>
  </article>`;
}

/** Text with `code` in it. */
function marked(text) {
  return text.replaceAll("\n", " ").split("`").map((part, index) => (index % 2 ? html`<code key=${index}>${part}</code>` : part));
}

function Fields({ schema }) {
  const fields = Object.entries(schema?.properties ?? {});
  if (!fields.length) return html`<p class="muted">It takes no config.</p>`;
  const required = new Set(schema.required ?? []);
  return html`<h3>Config</h3><table class="rows plain fields"><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead><tbody>${fields.map(([name, part]) => html`
    <tr key=${name}><td><code>${name}</code>${required.has(name) && html`<span class="required" title="required"> *</span>`}</td><td class="muted">${typeOf(part)}</td>
      <td>${part.description ? marked(part.description) : ""}${"default" in part && part.default !== null && html` <span class="muted">Default <code>${JSON.stringify(part.default)}</code></span>`}</td></tr>`)}</tbody></table>`;
}

function typeOf(schema) {
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeOf).filter((word) => word !== "null"))].join(" or ");
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items) : "anything"}`;
  const range = [schema.minimum !== undefined && `from ${schema.minimum}`, schema.maximum !== undefined && `to ${schema.maximum}`].filter(Boolean).join(" ");
  return [schema.type ?? "any JSON", range].filter(Boolean).join(", ");
}
