// Steps over time, one row each, in order of their start.
import { html, names, useState } from "../lib/html.js";
import { ms, now, span } from "../lib/time.js";
import { Empty, Glyph } from "../components/basics.js";
import { VirtualList } from "../components/virtual-list.js";
import { keyOf } from "../model/run.js";

const ROW = 28;
const TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 18e5, 36e5, 108e5, 216e5, 864e5, 6048e5, 2592e6, 31536e6];

export function TimelineView({ feed, look }) {
  const run = feed.run.watched;
  const { execution } = run;
  const [zoom, setZoom] = useState("run"); // "run" leaves out the wait in the queue
  const open = !run.final;
  const steps = [...run.steps.values()].filter((step) => step.startedAt).sort((a, b) => ms(a.startedAt) - ms(b.startedAt));
  if (!steps.length) return html`<${Empty} title="No step has started yet" />`;
  const kept = steps.every((step) => step.kept);
  const own = kept ? steps : steps.filter((step) => !step.kept);
  const from = zoom === "all" ? ms(execution.createdAt) : ms(own[0].startedAt);
  const end = open ? now.value : ms(execution.completedAt ?? own.at(-1).completedAt ?? own.at(-1).startedAt);
  const length = Math.max(1, end - from, ...own.map((step) => (step.completedAt ? ms(step.completedAt) - from : 0)));
  const place = (at) => (Math.max(0, at - from) / length) * 100;
  const tick = TICKS.find((size) => length / size <= 8) ?? length;
  const ticks = Array.from({ length: Math.floor(length / tick) + 1 }, (_, index) => index * tick);
  const selected = look.selected && keyOf(look.selected, look.path(look.selected));
  const row = (step) => {
    const key = keyOf(step.nodeId, step.iteration);
    const name = run.graph.byId.get(step.nodeId)?.name ?? step.nodeId;
    return html`<button type="button" class=${names("gantt-row", { current: key === selected })} onClick=${() => look.choose(step.nodeId, step.iteration)}
        title="${name}${step.iteration.length ? ` [${step.iteration.join(", ")}]` : ""}: ${step.status}, ${lasted(step)}">
      <span class="gantt-name" style=${{ paddingLeft: `${8 + 12 * step.iteration.length}px` }}><${Glyph} status=${step.status} /><span>${name}</span>${step.iteration.length > 0 && html`<span class="muted small">${step.iteration.map((index) => index + 1).join(".")}</span>`}</span>
      <span class="gantt-track">${bars(step, end, place).map((bar, index) => html`<span key=${index} class="bar ${bar.kind}" style=${{ left: `${bar.from}%`, width: `max(3px, ${Math.max(0, bar.to - bar.from)}%)` }}></span>`)}
        <span class=${names("gantt-time", "num", { before: place(step.completedAt ? ms(step.completedAt) : end) > 86 })} style=${place(step.completedAt ? ms(step.completedAt) : end) > 86 ? { right: `${100 - place(ms(step.startedAt))}%` } : { left: `${place(step.completedAt ? ms(step.completedAt) : end)}%` }}>${lasted(step)}</span></span>
    </button>`;
  };
  const lasted = (step) => (step.completedAt ? span(ms(step.completedAt) - ms(step.startedAt)) : span(Math.floor((end - ms(step.startedAt)) / 1000) * 1000));
  return html`<div class="gantt">
    <div class="gantt-axis"><span class="gantt-name"><button type="button" class="text-button" aria-pressed=${String(zoom === "all")} onClick=${() => setZoom(zoom === "all" ? "run" : "all")}>${zoom === "all" ? "without the wait before" : "with the wait before"}</button></span>
      <span class="gantt-track">${ticks.map((at) => html`<span class="gantt-tick num" key=${at} style=${{ left: `${(at / length) * 100}%` }}>${span(at)}</span>`)}</span></div>
    <${VirtualList} items=${own} height=${ROW} row=${row} label="Timeline of steps" keyOf=${(step) => keyOf(step.nodeId, step.iteration)}
      reveal=${selected ? own.findIndex((step) => keyOf(step.nodeId, step.iteration) === selected) : -1} />
  </div>`;
}

/** Attempts, the pauses between them, and the wait at the end. */
function bars(step, end, place) {
  const until = step.completedAt ? ms(step.completedAt) : end;
  const found = [];
  const tries = step.tries?.length ? step.tries : [{ startedAt: step.startedAt, completedAt: step.completedAt, error: step.error }];
  tries.forEach((one, index) => {
    const from = ms(one.startedAt);
    const to = one.completedAt ? ms(one.completedAt) : until;
    if (index) found.push({ kind: "backoff", from: place(ms(tries[index - 1].completedAt ?? one.startedAt)), to: place(from) });
    const last = index === tries.length - 1;
    found.push({ kind: last ? step.status : "failed", from: place(from), to: place(to) });
  });
  if (step.waitingSince && step.waitingSince !== step.startedAt) found.push({ kind: "wait", from: place(ms(step.waitingSince)), to: place(until) });
  return found;
}
