// Stored definitions.
import { html, useState } from "../lib/html.js";
import { get, query } from "../lib/api.js";
import { usePolled } from "../lib/live.js";
import { Link, go } from "../lib/router.js";
import { Time } from "../lib/time.js";
import { Empty, Icon, Skeleton, Trouble } from "../components/basics.js";

/** All of them, a page after another. */
async function loadAll(signal) {
  const found = [];
  for (let pageToken; ;) {
    const page = await get(`/api/workflows${query({ limit: 200, pageToken })}`, { signal });
    found.push(...page.workflows);
    pageToken = page.nextPageToken;
    if (!pageToken) return found;
  }
}

export function WorkflowsPage() {
  const { value, error, refresh } = usePolled(loadAll, [], 15_000);
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const shown = (value ?? []).filter((one) => !wanted || `${one.id} ${one.name}`.toLowerCase().includes(wanted));
  return html`<div class="page">
    <header class="page-head"><h1>Workflows</h1>
      <label class="input-icon"><${Icon} name="search" /><span class="hidden">Filter workflows</span><input data-search type="search" placeholder="filter" onInput=${(event) => setText(event.target.value)} /></label>
      <div class="actions"><${Link} class="button primary" to=${["workflows", "new"]}><${Icon} name="plus" /> New workflow<//></div></header>
    <${Trouble} error=${error} retry=${refresh} />
    ${!value ? html`<${Skeleton} rows=${6} height=${34} />` : !shown.length
      ? html`<${Empty} title=${wanted ? "No workflow like that" : "No workflow is stored yet"}>${!wanted && html`<p>Definitions can run without being stored, too. <${Link} to=${["workflows", "new"]}>Write one<//></p>`}<//>`
      : html`<table class="rows"><thead><tr><th>Workflow</th><th>Id</th><th class="right">Version</th><th class="right">Changed</th><th></th></tr></thead>
        <tbody>${shown.map((one) => html`<tr key=${one.id} onClick=${(event) => { if (!event.target.closest("a")) go(["workflows", one.id]); }}>
          <td class="who"><${Link} class="row-link" to=${["workflows", one.id]}>${one.name || one.id}<//></td>
          <td class="mono small muted">${one.id}</td><td class="right num">v${one.version}</td><td class="right"><${Time} at=${one.updatedAt ?? one.createdAt} /></td>
          <td class="right"><${Link} to=${["executions"]} query=${{ workflow: one.id }}>Runs<//></td></tr>`)}</tbody></table>`}
  </div>`;
}
