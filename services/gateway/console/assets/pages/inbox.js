// What waits for somebody, and the place to answer it.
import { html, names, useState } from "../lib/html.js";
import { usePolled } from "../lib/live.js";
import { Link, refine, route } from "../lib/router.js";
import { Time } from "../lib/time.js";
import { Empty, Icon, Skeleton, Trouble } from "../components/basics.js";
import { Answer } from "../components/answer.js";
import { countPeople, loadTasks, peopleCount } from "../model/tasks.js";

const taskId = ({ execution, step }) => `${execution.executionId}/${step.nodeId}/${(step.iteration ?? []).join(",")}`;

/** The number beside the inbox, wherever one is. */
export function InboxBadge() {
  usePolled(countPeople, [], 20_000, { changesMs: 2500 });
  return peopleCount.value ? html`<span class="badge" aria-label="${peopleCount.value} waiting">${peopleCount.value}</span>` : null;
}

export function InboxPage() {
  const { value, error, refresh } = usePolled(loadTasks, [], 15_000, { changesMs: 800 });
  const [text, setText] = useState("");
  if (!value) return html`<div class="page"><h1>Inbox</h1>${error ? html`<${Trouble} error=${error} retry=${refresh} />` : html`<${Skeleton} rows=${7} height=${40} />`}</div>`;
  const wanted = text.trim().toLowerCase();
  const tasks = value.filter(({ execution, step }) => !wanted
    || [step.waiting.title, step.waiting.assignee, execution.workflowName, execution.workflowId, step.nodeId].join(" ").toLowerCase().includes(wanted));
  const people = tasks.filter(({ step }) => step.waiting.kind === "person");
  const systems = tasks.filter(({ step }) => step.waiting.kind === "callback");
  const chosen = tasks.find((task) => taskId(task) === route.value.query.get("task")) ?? (matchMedia("(max-width: 720px)").matches ? null : people[0]);
  return html`<div class=${names("split", { picked: chosen && route.value.query.get("task") })}>
    <section class="split-list" aria-label="What waits">
      <header class="split-head"><h1>Inbox</h1>
        <label class="input-icon"><${Icon} name="search" /><span class="hidden">Filter the inbox</span><input data-search type="search" placeholder="title, person, workflow" onInput=${(event) => setText(event.target.value)} /></label></header>
      ${!tasks.length && html`<${Empty} title=${wanted ? "Nothing like that waits" : "Nothing waits for anybody"}>${!wanted && html`<p>Approvals and forms appear here by themselves.</p>`}<//>`}
      ${people.length > 0 && html`<ul class="tasks">${people.map((task) => html`<${Task} key=${taskId(task)} task=${task} current=${task === chosen} />`)}</ul>`}
      ${systems.length > 0 && html`<h2 class="tasks-head">Outside systems</h2><ul class="tasks">${systems.map((task) => html`<${Task} key=${taskId(task)} task=${task} current=${task === chosen} />`)}</ul>`}
    </section>
    <section class="split-detail" aria-label="The chosen one">${chosen ? html`<${Detail} key=${taskId(chosen)} task=${chosen} refresh=${refresh} />` : html`<${Empty} title="Choose one on the left" />`}</section>
  </div>`;
}

function Task({ task, current }) {
  const { execution, step } = task;
  return html`<li><button type="button" class=${names("task", { current })} aria-current=${current ? "true" : undefined} onClick=${() => refine({ task: taskId(task) })}>
    <span class="task-title">${step.waiting.title ?? step.nodeId}</span>
    <span class="muted small">${execution.workflowName || execution.workflowId || "unnamed workflow"} · asked <${Time} at=${step.startedAt} />${step.waiting.assignee ? ` · ${step.waiting.assignee}` : ""}</span>
    ${step.waiting.until && html`<span class=${names("small", Date.parse(step.waiting.until) - Date.now() < 3_600_000 ? "failed-text" : "muted")}>times out <${Time} at=${step.waiting.until} /></span>`}
  </button></li>`;
}

function Detail({ task, refresh }) {
  const { execution, step } = task;
  return html`<article class="task-detail" data-task=${taskId(task)}>
    <button type="button" class="text-button only-phone" onClick=${() => refine({ task: "" })}>Back to the list</button>
    <p class="muted"><${Link} to=${["executions", execution.executionId]} query=${{ step: step.nodeId, it: (step.iteration ?? []).join(",") }}>${execution.workflowName || execution.workflowId || "unnamed workflow"}<//> · step ${step.nodeId}${step.iteration?.length ? ` · iteration ${step.iteration.map((index) => index + 1).join(".")}` : ""}</p>
    ${execution.status === "paused" && html`<p class="muted">This execution is paused: an answer is kept and acts when it is resumed.</p>`}
    <${Answer} executionId=${execution.executionId} step=${step} idPrefix="inbox" done=${() => { refine({ task: "" }); refresh(); }} />
  </article>`;
}
