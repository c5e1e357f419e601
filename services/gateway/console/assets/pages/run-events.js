// The history as it was recorded.
import { html, names, useState } from "../lib/html.js";
import { refine, route } from "../lib/router.js";
import { absolute, ms, span } from "../lib/time.js";
import { Empty, Icon } from "../components/basics.js";
import { VirtualList } from "../components/virtual-list.js";

export function EventsView({ feed }) {
  const { whole } = feed;
  const run = feed.run.watched;
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const shown = wanted ? run.events.filter((event) => `${event.sequence} ${event.type} ${event.nodeId ?? ""}`.toLowerCase().includes(wanted)) : run.events;
  const current = Number(route.value.query.get("event"));
  const began = ms(run.execution.createdAt);
  return html`<div class="listing">
    <div class="graph-tools"><label class="input-icon"><${Icon} name="search" /><span class="hidden">Filter events</span><input data-search type="search" placeholder="filter events" onInput=${(event) => setText(event.target.value)} /></label>
      <span class="muted small" role="status">${shown.length} of ${run.events.length}${whole ? "" : " since the page was opened; the history is long"}</span></div>
    ${shown.length ? html`<${VirtualList} items=${shown} height=${30} label="Events" keyOf=${(event) => event.sequence} reveal=${current ? shown.findIndex((event) => event.sequence === current) : -1}
      row=${(event) => html`<button type="button" class=${names("event-row", kindOf(event), { current: event.sequence === current })} onClick=${() => refine({ event: event.sequence, step: "", it: "" })}>
        <span class="num muted">${event.sequence}</span>
        <span class="num muted" title=${absolute(event.time)}>+${span(Math.max(0, ms(event.time) - began))}</span>
        <span class="event-type">${event.type}</span>
        <span class="event-node">${event.nodeId ?? ""}${event.iteration?.length ? html` <span class="muted">${event.iteration.map((index) => index + 1).join(".")}</span>` : ""}</span>
        <span class="muted event-text">${textOf(event)}</span></button>`} />` : html`<${Empty} title="No event like that" />`}
  </div>`;
}

const kindOf = (event) => (/failed$/.test(event.type) ? "failed" : /retrying$/.test(event.type) ? "waiting" : "");

function textOf(event) {
  if (event.error) return `${event.error.code}: ${event.error.message}`;
  const told = event.handle ?? event.reason ?? event.workerId ?? event.wait?.title;
  if (told) return String(told);
  const value = event.output ?? event.input ?? event.payload;
  return value === undefined ? "" : JSON.stringify(value).slice(0, 160);
}
