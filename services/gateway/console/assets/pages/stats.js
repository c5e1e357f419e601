// How it has been going: what ended, how long it took, what fails and what is slow.
import { html, useMemo } from "../lib/html.js";
import { get, query } from "../lib/api.js";
import { usePolled } from "../lib/live.js";
import { Link, refine, route } from "../lib/router.js";
import { Time, span } from "../lib/time.js";
import { Empty, FilterField, Skeleton, Trouble } from "../components/basics.js";
import { Chart } from "../components/chart.js";
import { bytes } from "../components/json-tree.js";

const RANGES = [["1", "last hour", 300_000], ["24", "last 24 hours", 3_600_000], ["168", "last 7 days", 21_600_000], ["720", "last 30 days", 86_400_000]];
const REFRESH_MS = 10_000;

export function StatsPage() {
  const { query: values } = route.value;
  const [hours, , bucketMs] = RANGES.find(([key]) => key === values.get("range")) ?? RANGES[1];
  const workflowId = values.get("workflow") ?? "";
  const load = (signal) => get(`/api/stats${query({ from: new Date(Date.now() - hours * 3_600_000).toISOString(), bucketMs, workflowId, limit: 50 })}`, { signal });
  const { value, error, refresh } = usePolled(load, [hours, workflowId], REFRESH_MS);
  return html`<div class="page">
    <header class="page-head"><h1>Stats</h1>
      <label><span class="hidden">Range</span><select value=${hours} onChange=${(event) => refine({ range: event.target.value })}>${RANGES.map(([key, title]) => html`<option key=${key} value=${key}>${title}</option>`)}</select></label>
      <${FilterField} label="Workflow id" icon="search" data-search placeholder="workflow id" value=${workflowId} take=${(text) => refine({ workflow: text })} />
      ${workflowId && html`<button type="button" class="text-button" onClick=${() => refine({ workflow: "" })}>all workflows</button>`}
    </header>
    <${Trouble} error=${error} retry=${refresh} />
    ${!value ? html`<${Skeleton} rows=${8} height=${30} />` : html`<${Body} stats=${value} />`}
  </div>`;
}

const percent = (share) => (share === undefined ? "–" : `${(share * 100).toFixed(share < 0.995 && share > 0.005 ? 1 : 0)} %`);

function Body({ stats }) {
  const { total } = stats;
  if (!total.runs) return html`<${Empty} title="Nothing ended in this time"><p>Counted within seconds of their end.</p><//>`;
  return html`
    <dl class="tiles">
      <${Tile} name="Runs" value=${total.runs} more="${total.immediate} immediate, ${total.queued} queued" />
      <${Tile} name="Success" value=${percent(total.successRate)} more="${total.failed} failed, ${total.cancelled} cancelled" state=${total.failed ? "failed" : ""} />
      <${Tile} name="Typical time" value=${total.durationMs ? span(total.durationMs.p50) : "–"} more=${total.durationMs ? `95 % within ${span(total.durationMs.p95)}` : ""} />
      <${Tile} name="Wait in the queue" value=${total.queueWaitMs ? span(total.queueWaitMs.p50) : "–"} more=${total.queueWaitMs ? `95 % within ${span(total.queueWaitMs.p95)}` : "nothing was queued"} />
      <${Tile} name="Promoted" value=${total.promotions} more="began immediate, went on in the queue" />
      <${Tile} name="Wrong mode" value=${percent(total.modeRegret.rate)} more="${total.modeRegret.queuedShort} queued though short" />
      <${Tile} name="Estimates" value=${total.estimates.runs ? percent(total.estimates.closeRate) : "–"} more=${total.estimates.runs ? "within a factor of 1.5" : "none to compare"} />
      <${Tile} name="Steps tried again" value=${total.stepRetries} more="${total.retries} executions retried" />
    </dl>
    <${Series} stats=${stats} />
    <div class="tables">
      ${stats.errors.length > 0 && html`<${Errors} errors=${stats.errors} />`}
      <${Workflows} workflows=${stats.workflows} />
      ${stats.slowestNodes.length > 0 && html`<${SlowNodes} nodes=${stats.slowestNodes} />`}
      <${Types} types=${stats.nodeTypes} />
    </div>
    <p class="muted small">From <${Time} at=${stats.start} /> to <${Time} at=${stats.end} />${total.usage.cpuMs ? html` · ${span(total.usage.cpuMs)} of CPU` : ""}${total.usage.outsideCalls ? ` · ${total.usage.outsideCalls} outside calls, ${bytes(total.usage.bytesIn)} in, ${bytes(total.usage.bytesOut)} out` : ""}${total.usage.aiInputTokens ? ` · ${total.usage.aiInputTokens + total.usage.aiOutputTokens} tokens` : ""}</p>`;
}

function Tile({ name, value, more, state }) {
  return html`<div class="tile"><dt>${name}</dt><dd class="tile-value num ${state ? `${state} state-text` : ""}">${value}</dd><dd class="muted small">${more}</dd></div>`;
}

function Series({ stats }) {
  const points = stats.throughput;
  const at = useMemo(() => points.map((point) => Date.parse(point.start) / 1000), [points]);
  const ended = useMemo(() => [
    { label: "completed", colour: "completed", bars: true, values: points.map((point) => point.completed) },
    { label: "failed", colour: "failed", bars: true, values: points.map((point) => point.failed) },
    { label: "cancelled", colour: "cancelled", bars: true, values: points.map((point) => point.cancelled) },
  ], [points]);
  if (points.length < 2) return null;
  return html`<${Chart} title="Ended, in ${span(stats.bucketMs)} each" at=${at} series=${ended} write=${(value) => (Number.isInteger(value) ? String(value) : "")} />`;
}

function Errors({ errors }) {
  return html`<section><h2>What fails</h2><table class="rows plain"><thead><tr><th>Error</th><th>Workflow</th><th class="right">Times</th></tr></thead><tbody>${errors.map((one, index) => html`
    <tr key=${index}><td><code class="failed-text">${one.code}</code> <span class="muted clamp">${one.message}</span></td><td>${one.workflowId || html`<span class="muted">no id</span>`}</td>
      <td class="right num">${one.count}${one.executionId && html` <${Link} to=${["executions", one.executionId]}>last<//>`}</td></tr>`)}</tbody></table></section>`;
}

function Workflows({ workflows }) {
  return html`<section><h2>Workflows</h2><table class="rows plain"><thead><tr><th>Workflow</th><th class="right">Runs</th><th class="right">Success</th><th class="right">Half within</th><th class="right">95 % within</th></tr></thead>
    <tbody>${workflows.map(({ workflowId, stats }) => html`<tr key=${workflowId}><td><${Link} to=${["executions"]} query=${{ workflow: workflowId }}>${workflowId || "no id"}<//></td><td class="right num">${stats.runs}</td>
      <td class="right num ${stats.failed ? "failed-text" : ""}">${percent(stats.successRate)}</td><td class="right num">${span(stats.durationMs?.p50)}</td><td class="right num">${span(stats.durationMs?.p95)}</td></tr>`)}</tbody></table></section>`;
}

function SlowNodes({ nodes }) {
  return html`<section><h2>Slowest nodes</h2><table class="rows plain"><thead><tr><th>Node</th><th>Workflow</th><th class="right">Runs</th><th class="right">Half within</th><th class="right">95 % within</th></tr></thead>
    <tbody>${nodes.map((one, index) => html`<tr key=${index}><td>${one.nodeId} <span class="muted small">${one.nodeType}</span></td><td>${one.workflowId || html`<span class="muted">no id</span>`}</td><td class="right num">${one.runs}</td>
      <td class="right num">${span(one.durationMs?.p50)}</td><td class="right num">${span(one.durationMs?.p95)}</td></tr>`)}</tbody></table></section>`;
}

function Types({ types }) {
  return html`<section><h2>Node types</h2><table class="rows plain"><thead><tr><th>Type</th><th class="right">Steps</th><th class="right">Success</th><th class="right">Half within</th><th class="right">95 % within</th></tr></thead>
    <tbody>${types.map((one) => html`<tr key=${one.nodeType}><td><${Link} to=${["nodes", one.nodeType]}>${one.nodeType}<//></td><td class="right num">${one.runs}</td>
      <td class="right num ${one.failed ? "failed-text" : ""}">${percent(one.successRate)}</td><td class="right num">${span(one.durationMs?.p50)}</td><td class="right num">${span(one.durationMs?.p95)}</td></tr>`)}</tbody></table></section>`;
}
