// Beside the graph: the chosen step, or the execution as a whole.
import { html, names } from "../lib/html.js";
import { link, refine, route } from "../lib/router.js";
import { Duration, Time, absolute, span } from "../lib/time.js";
import { Button, Icon, Status } from "../components/basics.js";
import { Answer } from "../components/answer.js";
import { JsonTree, Value } from "../components/json-tree.js";
import { containersOf } from "../model/definition.js";
import { Decision } from "./decision.js";
import { allowed, retry } from "./controls.js";

export function Inspector({ feed, look }) {
  const run = feed.run.watched;
  const sequence = Number(route.value.query.get("event"));
  const event = sequence && run.events.find((one) => one.sequence === sequence);
  const chosen = event || look.selected;
  return html`<aside class=${names("inspector", { chosen })} tabIndex="-1" aria-label=${event ? "Event" : look.selected ? "Step" : "Execution"}
    onKeyDown=${(press) => { if (press.key === "Escape" && !press.target.closest("input, textarea, select")) look.choose(null); }}>
    ${event ? html`<${EventCard} event=${event} />` : look.selected ? html`<${StepCard} key=${look.selected + look.path(look.selected)} feed=${feed} look=${look} id=${look.selected} />`
      : html`<${Overview} feed=${feed} />`}
  </aside>`;
}

function EventCard({ event }) {
  const { sequence, type, time, executionId, ...rest } = event;
  return html`<header class="card-head"><div><h2>${type}</h2><p class="muted">event ${sequence} · ${absolute(time)}</p></div>
    <${Button} icon="close" label="Close" onClick=${() => refine({ event: "" })} /></header>
    <div class="section-body"><${JsonTree} value=${rest} depth=${4} label="Event" /></div>`;
}

function StepCard({ feed, look, id }) {
  const run = feed.run.watched;
  const node = run.graph.byId.get(id);
  const path = look.path(id);
  const step = run.step(id, path);
  const { executionId } = run.execution;
  const container = run.graph.children.has(id);
  const canRetry = allowed(run.execution).retry && !node.parent;
  return html`
    <header class="card-head"><div><h2>${node.name}</h2><p class="muted">${node.name !== node.id && html`<span class="mono">${node.id}</span> · `}${node.type}</p></div>
      <${Button} icon="close" label="Close" onClick=${() => look.choose(null)} /></header>
    <div class="card-line"><span data-step-status=${step?.status ?? "pending"}><${Status} status=${step?.status ?? "pending"} /></span>
      ${step?.startedAt ? html`<span><${Duration} start=${step.startedAt} end=${step.completedAt} /></span>` : html`<span class="muted">${step ? "" : run.final ? "was never reached" : "not reached yet"}</span>`}
      ${step?.startedAt && html`<span class="muted"><${Time} at=${step.startedAt} /></span>`}
      ${step?.attempts > 1 && html`<span>${step.attempts} attempts</span>`}
      ${step?.handle && html`<span class="tag">${step.handle}</span>`}
      ${step?.kept && html`<span class="tag">kept from the run before</span>`}
    </div>
    ${containersOf(run.graph, id).map((around, at) => html`<${Iterations} key=${around} run=${run} look=${look} container=${around} path=${path.slice(0, at)} current=${path[at]} />`)}
    ${container && html`<${ContainerPart} run=${run} look=${look} id=${id} step=${step} path=${path} />`}
    ${step?.status === "waiting" && step.waiting && html`<section class="panel waiting" data-panel="waiting">
      ${["person", "callback"].includes(step.waiting.kind) ? html`<${Answer} executionId=${executionId} step=${step} done=${feed.refresh} />`
        : step.waiting.kind === "retry" ? html`<p>It failed and is tried again <${Time} at=${step.waiting.until} />.</p>`
          : html`<p>It waits ${step.waiting.until ? html`until <${Time} at=${step.waiting.until} /> (${absolute(step.waiting.until)})` : step.waiting.kind}.</p>
`}</section>`}
    ${childOf(step) && html`<p class="card-line"><a href=${link(["executions", childOf(step)])}>Open the execution that it started</a></p>`}
    ${step?.error && html`<section class="panel failed" data-panel="error"><p><code>${step.error.code}</code> ${step.error.message}</p>
      ${step.handled && step.handled !== "fail" && html`<p class="muted small">It was handled: the run went on (${step.handled}).</p>`}
      ${step.error.details !== undefined && html`<${JsonTree} value=${step.error.details} depth=${3} label="Details" />`}</section>`}
    ${step?.reason && html`<p class="muted">${REASONS[step.reason] ?? step.reason}</p>`}
    ${step && (step.output !== undefined || step.outputRef) && html`<${Value} title="Output" value=${step.output} reference=${step.outputRef} executionId=${executionId} />`}
    ${step && (step.input !== undefined || step.inputRef) && html`<${Value} title="Input" value=${step.input} reference=${step.inputRef} executionId=${executionId} />`}
    ${step?.tries?.length > 1 && html`<${Tries} tries=${step.tries} />`}
    <${Value} title="Definition" value=${node.raw} open=${!step} depth=${3} />
    ${canRetry && html`<div class="card-foot"><${Button} icon="retry" onClick=${() => retry(executionId, id)}>Retry from this node<//></div>`}`;
}

/** Id of the execution that a step started beside this one. */
function childOf(step) {
  if (!step) return "";
  if (step.waiting?.kind === "child") return step.waiting.executionId;
  return step.childId ?? "";
}

const REASONS = {
  request: "Cancelled on request.", siblingFailed: "Cancelled, since another step failed.", timeout: "Cancelled, since the time was over.",
  joinSatisfied: "Cancelled, since a join had enough.", returned: "Cancelled, since the execution returned.", enough: "Cancelled, since the loop had enough.",
};

/** Which iteration of a container is shown; a cell for each. */
function Iterations({ run, look, container, path, current }) {
  const { words } = run.watched.iterationsOf(container, path);
  const step = run.step(container, path);
  const count = Math.max(words.length, step?.loop?.itemCount ?? 0);
  if (count < 2) return null;
  const item = Array.isArray(step?.loop?.items) ? step.loop.items[current] : undefined;
  const from = Math.max(0, Math.min(current - 30, count - 60));
  const to = (index) => look.iterate(container, Math.max(0, Math.min(count - 1, index)));
  return html`<div class="iterations"><div class="iterations-head">
      <${Button} icon="back" label="Iteration before" disabled=${current <= 0} onClick=${() => to(current - 1)} />
      <span>Iteration <b>${current + 1}</b> of ${count} <span class="muted">in ${run.graph.byId.get(container).name}</span></span>
      <${Button} icon="next" label="Next iteration" disabled=${current >= count - 1} onClick=${() => to(current + 1)} /></div>
    <div class="cells">${Array.from({ length: Math.min(60, count) }, (_, at) => {
      const index = from + at;
      return html`<button type="button" key=${index} class=${names("cell", words[index] ?? "pending", { current: index === current })} aria-label="Iteration ${index + 1}, ${words[index] ?? "pending"}"
        aria-current=${index === current ? "true" : undefined} title="${index + 1}: ${words[index] ?? "pending"}" onClick=${() => to(index)}></button>`;
    })}</div>
    ${item !== undefined && html`<${JsonTree} value=${{ item }} depth=${1} label="Item" />`}</div>`;
}

function ContainerPart({ run, look, id, step, path }) {
  const { words } = run.watched.iterationsOf(id, path);
  const open = look.open.has(id);
  const tally = {};
  for (const word of words) if (word) tally[word] = (tally[word] ?? 0) + 1;
  const count = Math.max(words.length, step?.loop?.itemCount ?? 0);
  return html`<section class="panel"><p>${count ? `${count} ${count === 1 ? "iteration" : "iterations"}: ${Object.entries(tally).map(([word, number]) => `${number} ${word}`).join(", ") || "none begun"}` : "No iteration has begun."}
      ${step?.loop?.concurrency > 1 ? html` <span class="muted">${step.loop.concurrency} at a time</span>` : ""}</p>
    <${Button} icon=${open ? "minus" : "plus"} onClick=${() => look.toggle(id)} aria-expanded=${String(open)}>${open ? "Close in the graph" : "Open in the graph"}<//></section>`;
}

function Tries({ tries }) {
  return html`<details class="section"><summary><h3>Attempts</h3><span class="muted small">${tries.length}</span></summary><ol class="tries">${tries.map((one, index) => html`
    <li key=${index}><span class="num">${absolute(one.startedAt)}</span> ${one.completedAt ? span(Date.parse(one.completedAt) - Date.parse(one.startedAt)) : "running"}
      ${one.error && html` <span class="failed-text">${one.error.code}: ${one.error.message}</span>`}</li>`)}</ol></details>`;
}

function Overview({ feed }) {
  const run = feed.run.watched;
  const { execution } = run;
  const facts = [
    ["Created", execution.createdAt], ["Started", execution.startedAt], ["Ended", execution.completedAt], ["Deadline", execution.deadlineAt],
  ].filter(([, at]) => at);
  const claims = run.events.filter((event) => event.type === "execution.claimed");
  const promoted = run.events.find((event) => event.type === "execution.promoted");
  return html`
    ${execution.error?.details !== undefined && html`<section class="panel failed" data-panel="error"><${JsonTree} value=${execution.error.details} depth=${3} label="Details of the error" /></section>`}
    ${(execution.output !== undefined || execution.outputRef) && html`<${Value} title="Output" value=${execution.output} reference=${execution.outputRef} executionId=${execution.executionId} />`}
    ${(execution.input !== undefined || execution.inputRef) && html`<${Value} title="Input" value=${execution.input} reference=${execution.inputRef} executionId=${execution.executionId} />`}
    ${execution.complexity && html`<details class="section" data-section="why" open><summary><h3>Why ${execution.complexity.mode}</h3></summary>
      <div class="section-body"><${Decision} complexity=${execution.complexity} />
      ${promoted && html`<p class="decision-note">${html`<${Icon} name="next" />`} It went on in the queue ${html`<${Time} at=${promoted.time} />`}: ${PROMOTED[promoted.reason] ?? promoted.reason}.</p>`}</div></details>`}
    <details class="section" open><summary><h3>Facts</h3></summary><dl class="facts">
      ${facts.map(([name, at]) => html`<dt key=${name}>${name}</dt><dd><${Time} at=${at} /> <span class="muted num">${absolute(at)}</span></dd>`)}
      <dt>Priority</dt><dd>${execution.priority} <span class="muted">(0 is soonest)</span></dd>
      ${claims.length > 0 && html`<dt>Worker</dt><dd class="mono small" title=${claims.at(-1).workerId}>${claims.at(-1).workerId.slice(0, 22)}${claims.length > 1 ? html` <span class="muted">after ${claims.length - 1} others</span>` : ""}</dd>`}
      ${execution.definitionHash && html`<dt>Definition</dt><dd class="mono small" title=${execution.definitionHash}>${execution.definitionHash.slice(0, 12)}</dd>`}
      <dt>Id</dt><dd class="mono small">${execution.executionId}</dd></dl></details>
    <${Value} title="Definition" value=${run.definition} open=${false} depth=${1} />`;
}

const PROMOTED = {
  budget: "its time in the request was over", predicted: "the next step would have taken longer than was left", waiting: "every open step waits",
  paused: "somebody paused it", shutdown: "its executor was stopped", executorLost: "its executor died",
};
