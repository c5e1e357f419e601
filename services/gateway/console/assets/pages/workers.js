// Who runs what, and how deep the queue is.
import { html, names } from "../lib/html.js";
import { get, may, post } from "../lib/api.js";
import { usePolled } from "../lib/live.js";
import { Link } from "../lib/router.js";
import { Duration, Time, span } from "../lib/time.js";
import { Empty, Glyph, Skeleton, Trouble } from "../components/basics.js";
import { confirm } from "../components/dialog.js";
import { say } from "../components/toasts.js";

const REFRESH_MS = 2000;
const DIAGNOSIS_MS = 15_000;

export function WorkersPage() {
  const load = async (signal) => {
    const [queue, { workers }] = await Promise.all([get("/api/queue", { signal }), get("/api/workers", { signal })]);
    return { queue, workers };
  };
  const { value, error, refresh } = usePolled(load, [], REFRESH_MS);
  return html`<div class="page"><header class="page-head"><h1>Workers and queue</h1></header>
    <${Trouble} error=${error?.status ? error : null} retry=${refresh} />
    ${!value ? html`<${Skeleton} rows=${7} height=${32} />` : html`<${Queue} queue=${value.queue} />
      ${may("OperationsService/Diagnose") && html`<${Diagnosis} />`}<${Workers} workers=${value.workers} refresh=${refresh} />`}</div>`;
}

function Queue({ queue }) {
  const stuck = queue.pendingCount > 0 && !queue.workerCount;
  const tiles = [
    ["In the queue", queue.pendingCount, queue.pendingCount ? `${queue.readyCount} may run now` : "nothing waits for a worker", stuck ? "failed" : ""],
    ["Oldest", queue.oldestPendingMs === undefined ? "–" : span(queue.oldestPendingMs), queue.oldestReadyMs === undefined ? "" : `${span(queue.oldestReadyMs)} among the ready`],
    ["Running", queue.runningCount, `${queue.slots - queue.freeSlots} of ${queue.slots} slots taken`],
    ["Waiting", queue.waitingCount, "for a person, a time or a callback"],
    ["Workers", queue.workerCount, queue.workerCount ? "alive and taking work" : "none is alive; start one with flow worker", queue.workerCount ? "" : "failed"],
  ];
  return html`<dl class="tiles">${tiles.map(([name, value, more, state]) => html`<div class="tile" key=${name}><dt>${name}</dt><dd class="tile-value num ${state ? `${state} state-text` : ""}">${value}</dd><dd class="muted small">${more}</dd></div>`)}</dl>
    ${queue.partial && html`<p class="muted small">Of the oldest 10,000 that may run now, and the oldest 10,000 that may not:</p>`}
    ${(queue.priorities.length > 0 || queue.keys.length > 0) && html`<div class="tables">
      ${queue.priorities.length > 0 && html`<${Depths} title="By priority" head="Priority" rows=${queue.priorities.map((one) => [`${one.priority}${one.priority === 0 ? ", soonest" : ""}`, one])} />`}
      ${queue.workflows.length > 0 && html`<${Depths} title="By workflow" head="Workflow" rows=${queue.workflows.map((one) => [one.workflowId || "no id", one])} />`}
      ${queue.namespaces.length > 1 && html`<${Depths} title="By namespace" head="Namespace" rows=${queue.namespaces.map((one) => [one.namespace, one])} />`}
      ${queue.keys.length > 0 && html`<section><h2>Keys that are waited for</h2><table class="rows plain"><thead><tr><th>Key</th><th>Workflow</th><th class="right">Taken</th><th class="right">Waiting</th></tr></thead><tbody>${queue.keys.map((one, index) => html`
        <tr key=${index}><td>${one.key} <span class="muted small">${one.kind === "rateLimit" ? `rate limit in ${span(one.periodMs)}` : "concurrency"}</span></td><td>${one.workflowId}</td><td class="right num">${one.takenCount} of ${one.limit}</td><td class="right num">${one.waitingCount}</td></tr>`)}</tbody></table></section>`}
    </div>`}`;
}

function Depths({ title, head, rows }) {
  return html`<section><h2>${title}</h2><table class="rows plain"><thead><tr><th>${head}</th><th class="right">Queued</th><th class="right">Oldest</th></tr></thead><tbody>${rows.map(([name, depth]) => html`
    <tr key=${name}><td>${name}</td><td class="right num">${depth.pendingCount}</td><td class="right num">${span(depth.oldestPendingMs)}</td></tr>`)}</tbody></table></section>`;
}

/** What is wrong and how to mend it; one line when nothing is. */
function Diagnosis() {
  const { value } = usePolled((signal) => get("/api/diagnosis", { signal }), [], DIAGNOSIS_MS);
  if (!value) return null;
  const wrong = value.checks.filter((check) => check.state !== "ok");
  return html`<details class="diagnosis" open=${wrong.length > 0}><summary><${Glyph} status=${value.healthy ? wrong.length ? "waiting" : "completed" : "failed"} />
      ${wrong.length ? `${wrong.length} of ${value.checks.length} checks found something` : `All ${value.checks.length} checks are fine`}</summary>
    <ul>${[...wrong, ...value.checks.filter((check) => check.state === "ok")].map((check) => html`<li key=${check.name} class=${{ error: "failed", warning: "waiting" }[check.state] ?? ""}>
      <b class="state-text">${check.name}</b> ${check.finding}${check.remedy ? html` <span class="muted">${check.remedy}</span>` : ""}</li>`)}</ul></details>`;
}

async function drain(worker, refresh) {
  if (await confirm({ title: `Drain ${worker.hostname} ${worker.processId}?`, text: "It finishes what it runs and claims nothing more.", action: "Drain the worker" }) === null) return;
  try { await post(`/api/workers/${encodeURIComponent(worker.id)}/drain`, {}); refresh(); } catch (problem) { say(problem.message, { kind: "failed" }); }
}

function Workers({ workers, refresh }) {
  if (!workers.length) return html`<${Empty} title="No worker is alive"><p>Queued executions wait until one is: <code>flow worker</code></p><//>`;
  return html`<h2 class="gap">Workers</h2><div class="workers">${workers.map((worker) => html`
    <article class="worker" key=${worker.id}><header><div><h3>${worker.hostname} <span class="muted num">${worker.processId}</span></h3>
      <p class="muted small"><span class="mono" title=${worker.id}>${worker.id.slice(0, 20)}</span> · version ${worker.version} · since <${Time} at=${worker.startedAt} /> · heard <${Time} at=${worker.seenAt} /></p></div>
      ${worker.draining ? html`<span class="tag">draining</span>` : may("OperationsService/DrainWorker") && html`<button type="button" class="text-button" onClick=${() => drain(worker, refresh)}>Drain</button>`}
      <span class="slots" role="img" aria-label="${worker.slots - worker.freeSlots} of ${worker.slots} slots taken" title="${worker.slots - worker.freeSlots} of ${worker.slots} slots taken">${Array.from({ length: Math.min(worker.slots, 64) }, (_, index) => html`<i key=${index} class=${names({ taken: index < worker.slots - worker.freeSlots })}></i>`)}</span></header>
      ${worker.executions.length > 0 && html`<ul>${worker.executions.map((one) => html`<li key=${one.executionId}><${Link} to=${["executions", one.executionId]}>${one.workflowName || one.workflowId || one.executionId}<//> <span class="muted"><${Duration} start=${one.startedAt} /></span></li>`)}
        ${worker.runningCount > worker.executions.length && html`<li class="muted">and ${worker.runningCount - worker.executions.length} more</li>`}</ul>`}
      <details><summary class="muted small">runs ${worker.capabilities.length} node types</summary><p class="small">${worker.capabilities.map((type) => html`<${Link} class="tag" key=${type} to=${["nodes", type]}>${type}<//>`)}</p></details>
    </article>`)}</div>`;
}
