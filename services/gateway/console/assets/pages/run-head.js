// The top of a run: its name and state, the one thing to know about it, and what can be done.
import { html, names } from "../lib/html.js";
import { Link } from "../lib/router.js";
import { Duration, Time, span } from "../lib/time.js";
import { Glyph, Icon, Status, short } from "../components/basics.js";
import { say } from "../components/toasts.js";
import { Button } from "../components/basics.js";
import { Controls, allowed, retry } from "./controls.js";

const ORDER = ["completed", "failed", "cancelled", "running", "waiting", "skipped", "pending"];

export function RunHead({ feed, state, look }) {
  const run = feed.run.watched;
  const { execution } = run;
  const copy = () => navigator.clipboard?.writeText(execution.executionId).then(() => say("Id copied"), () => {});
  return html`<header class="run-head">
    <div class="run-title">
      <${Link} to=${["executions"]} class="button bare" aria-label="All executions" title="All executions"><${Icon} name="back" /><//>
      <div class="run-name"><h1>${execution.workflowName || execution.workflowId || "unnamed workflow"}</h1>
        <p class="run-facts"><button type="button" class="mono id" title="Copy ${execution.executionId}" onClick=${copy}>${short(execution.executionId)}</button>
          ${execution.workflowId && execution.workflowVersion ? html`<${Link} to=${["workflows", execution.workflowId]}>${execution.workflowId} v${execution.workflowVersion}<//>` : ""}
          <button type="button" class="why" onClick=${() => { look.choose(null); setTimeout(() => openSection("why"), 0); }}>${execution.mode} · why?</button>
          <span>created <${Time} at=${execution.createdAt} /></span>
          ${execution.startedAt && html`<span>${execution.completedAt ? "took" : "for"} <${Duration} start=${execution.startedAt} end=${execution.completedAt} /></span>`}
          ${execution.retryOf && html`<span>retry of <${Link} to=${["executions", execution.retryOf]}>${short(execution.retryOf)}<//></span>`}
          ${execution.parentId && html`<span>started by <${Link} to=${["executions", execution.parentId]}>${short(execution.parentId)}<//></span>`}
          ${execution.tags.map((tag) => html`<${Link} class="tag" key=${tag} to=${["executions"]} query=${{ tag }}>${tag}<//>`)}
          ${!run.final && html`<span class=${names("pulse", state)} role="status">${state === "live" ? "live" : state === "lost" ? "reconnecting" : ""}</span>`}
        </p></div>
      <span data-run-status=${execution.status}><${Status} status=${execution.status} /></span>
      <${Controls} execution=${execution} changed=${feed.refresh} />
    </div>
    <${Now} run=${run} look=${look} />
    <${Share} run=${run} />
  </header>`;
}

function openSection(name) {
  const section = document.querySelector(`[data-section="${name}"]`);
  if (!section) return;
  section.open = true;
  section.scrollIntoView({ block: "nearest" });
  section.querySelector("summary").focus();
}

/** One sentence: what it does, why it waits, or why it failed; with the way to act on it. */
function Now({ run, look }) {
  const { execution } = run.watched;
  const step = (id) => html`<button type="button" class="step-link" key=${id} onClick=${() => look.choose(id)}>${run.graph.byId.get(id)?.name ?? id}</button>`;
  const { status, waitingReason, error, pendingControl } = execution;
  if (status === "failed" && error) {
    const known = error.nodeId && run.graph.byId.has(error.nodeId);
    return html`<div class="now failed"><${Glyph} status="failed" /><p>${known ? html`Failed at ${step(error.nodeId)}: ` : "Failed: "}<code>${error.code}</code> ${error.message}</p>
      ${known && allowed(execution).retry && html`<${Button} icon="retry" onClick=${() => retry(execution.executionId, topOf(run, error.nodeId))}>Retry from ${topOf(run, error.nodeId)}<//>`}</div>`;
  }
  if (pendingControl === "cancel") return html`<div class="now"><${Glyph} status="cancelled" /><p>It is being cancelled: running steps are interrupted.</p></div>`;
  if (pendingControl === "pause") return html`<div class="now"><${Glyph} status="paused" /><p>It pauses as soon as its running steps are done.</p></div>`;
  if (waitingReason) {
    const nodes = waitingReason.nodeIds.filter((id) => run.graph.byId.has(id));
    return html`<div class="now ${waitingReason.kind === "noWorker" ? "failed" : status}" data-reason=${waitingReason.kind}><${Glyph} status=${status} />
      <p>${waitingReason.explanation}${waitingReason.until ? html` <span class="muted">${["retry", "timer"].includes(waitingReason.kind) ? "" : "Times out "}<${Time} at=${waitingReason.until} /></span>` : ""}</p>
      ${nodes.length > 0 && html`<span class="now-steps">${nodes.slice(0, 3).map((id) => html`<${Button} key=${id} onClick=${() => look.choose(id)}>${waitingReason.kind === "person" ? "Answer" : "Show"} ${nodes.length > 1 ? run.graph.byId.get(id).name : ""}<//>`)}</span>`}</div>`;
  }
  if (status === "running") {
    const running = [...run.steps.values()].filter((one) => one.status === "running" && !run.graph.children.has(one.nodeId));
    const ids = [...new Set(running.map((one) => one.nodeId))];
    return html`<div class="now running"><${Glyph} status="running" /><p>${ids.length ? html`Running ${ids.slice(0, 3).map((id, at) => html`${at ? ", " : ""}${step(id)}`)}${ids.length > 3 ? ` and ${ids.length - 3} more` : ""}` : "Between two steps"}${execution.progress?.eta ? html` <span class="muted">should end <${Time} at=${execution.progress.eta} /></span>` : ""}</p></div>`;
  }
  if (status === "cancelled") {
    const asked = run.events.find((event) => event.type === "execution.cancelRequested");
    return html`<div class="now"><${Glyph} status="cancelled" /><p>Cancelled${asked?.reason ? `: ${asked.reason}` : ""}.</p></div>`;
  }
  if (status === "completed") {
    return html`<div class="now completed"><${Glyph} status="completed" /><p>Completed in ${span(execution.durationMs ?? Date.parse(execution.completedAt) - Date.parse(execution.startedAt ?? execution.createdAt))}.</p></div>`;
  }
  return html`<div class="now"><${Glyph} status=${status} /><p>${status === "pending" ? "It is in the queue." : ""}</p></div>`;
}

/** A retry begins at the top of the graph: the container around the step. */
function topOf(run, id) {
  let at = run.graph.byId.get(id);
  while (at?.parent) at = run.graph.byId.get(at.parent);
  return at?.id ?? id;
}

/** All steps as one bar. */
function Share({ run }) {
  const counts = run.watched.counts();
  const total = ORDER.reduce((sum, status) => sum + counts[status], 0) || 1;
  const text = ORDER.filter((status) => counts[status]).map((status) => `${counts[status]} ${status === "pending" ? "not reached" : status}`).join(" · ");
  return html`<div class="share" role="img" aria-label="Steps: ${text}" title=${text}>
    ${ORDER.filter((status) => counts[status]).map((status) => html`<span key=${status} class=${status} style=${{ flexGrow: counts[status] / total }}></span>`)}
  </div>`;
}
