// Every step as a row: the graph for those who would rather read, listen or search.
import { html, names, useMemo, useState } from "../lib/html.js";
import { Duration, Time } from "../lib/time.js";
import { Empty, Icon, Status } from "../components/basics.js";
import { VirtualList } from "../components/virtual-list.js";
import { keyOf } from "../model/run.js";

export function StepsView({ feed, look }) {
  const run = feed.run.watched;
  const [text, setText] = useState("");
  const [status, setStatus] = useState("");
  const rows = useMemo(() => allSteps(run), [run.version.value]);
  const wanted = text.trim().toLowerCase();
  const shown = rows.filter((step) => (!status || step.status === status) && (!wanted || `${step.nodeId} ${step.name} ${step.type}`.toLowerCase().includes(wanted)));
  const selected = look.selected && keyOf(look.selected, look.path(look.selected));
  return html`<div class="listing">
    <div class="graph-tools">
      <label class="input-icon"><${Icon} name="search" /><span class="hidden">Filter steps</span><input data-search type="search" placeholder="filter steps" onInput=${(event) => setText(event.target.value)} /></label>
      <label><span class="hidden">Status</span><select value=${status} onChange=${(event) => setStatus(event.target.value)}><option value="">any status</option>
        ${["running", "waiting", "failed", "completed", "skipped", "cancelled", "pending"].map((word) => html`<option key=${word}>${word}</option>`)}</select></label>
      <span class="muted small" role="status">${shown.length} of ${rows.length}</span></div>
    ${shown.length ? html`<${VirtualList} items=${shown} height=${36} label="Steps" keyOf=${(step) => keyOf(step.nodeId, step.iteration)}
      reveal=${selected ? shown.findIndex((step) => keyOf(step.nodeId, step.iteration) === selected) : -1}
      row=${(step) => html`<button type="button" class=${names("step-row", { current: keyOf(step.nodeId, step.iteration) === selected })} onClick=${() => look.choose(step.nodeId, step.iteration)}>
        <${Status} status=${step.status} />
        <span class="step-name">${step.name}${step.iteration.length > 0 && html` <span class="muted">${step.iteration.map((index) => index + 1).join(".")}</span>`}</span>
        <span class="muted step-type">${step.error ? html`<span class="failed-text">${step.error.code}</span>` : step.type}</span>
        <span class="muted num">${step.attempts > 1 ? `×${step.attempts}` : ""}</span>
        <span class="muted num step-time"><${Time} at=${step.startedAt} /></span>
        <span class="num step-took"><${Duration} start=${step.startedAt} end=${step.completedAt} /></span></button>`} />` : html`<${Empty} title="No step like that" />`}
  </div>`;
}

/** In order of start; what was not reached comes last. */
function allSteps(run) {
  const known = [...run.steps.values()].map((step) => ({ ...step, name: run.graph.byId.get(step.nodeId)?.name ?? step.nodeId, type: run.graph.byId.get(step.nodeId)?.type ?? "" }));
  const reached = new Set(known.map((step) => step.nodeId));
  return [...known, ...run.graph.nodes.filter((node) => !reached.has(node.id)).map((node) => ({ nodeId: node.id, iteration: [], status: "pending", attempts: 0, name: node.name, type: node.type }))];
}
